import { setTimeout as sleep } from 'node:timers/promises';
import { FaultProcess } from './fault.process.js';
import type { GatewayApi, GatewaySettings } from './programs/gateway.api.js';
import type { Programs } from './programs.js';

/** The nodes of a run, each a process on a port of its own that can be killed at any moment. */
export class Gateways {
  private readonly processes: (FaultProcess<GatewayApi> | undefined)[] = [];
  private clockShiftMs = 0;

  constructor(
    private readonly programs: Programs,
    readonly ports: readonly number[],
    private readonly settings: Omit<GatewaySettings, 'port'>,
  ) {}

  get count(): number {
    return this.ports.length;
  }

  async startAll(): Promise<void> {
    await Promise.all(this.ports.map((_, node) => this.start(node)));
  }

  /** Starts a node; it may be killed before it listens. */
  async start(node: number): Promise<void> {
    const environment = { FAULT_CLOCK_SHIFT_MS: String(this.clockShiftMs) };
    const started = new FaultProcess<GatewayApi>(this.programs.file('gateway'), `gateway ${node}`, environment);
    this.processes[node] = started;
    await started.call('listen', { port: this.portOf(node), ...this.settings });
  }

  async kill(node: number): Promise<void> {
    await this.processes[node]?.kill();
  }

  /** Kills it also in the midst of its start. */
  async killWhileStarting(node: number, afterMs: number): Promise<void> {
    const started = this.start(node).then(
      () => 'listening',
      () => 'killed',
    );
    await sleep(afterMs);
    await this.kill(node);
    await started;
  }

  /** Lets it shut down in order, and waits for its end. */
  async shutDown(node: number): Promise<void> {
    await this.processes[node]?.call('shutDown', undefined);
    await this.kill(node);
  }

  signal(node: number, signal: 'SIGSTOP' | 'SIGCONT'): void {
    this.processes[node]?.signal(signal);
  }

  /** The clock of every node, now and after restarts. */
  async shiftClock(ms: number): Promise<void> {
    this.clockShiftMs = ms;
    await Promise.all(this.processes.map((process) => process?.call('shiftClock', ms)));
  }

  async killAll(): Promise<void> {
    await Promise.all(this.processes.map((process) => process?.kill()));
  }

  portOf(node: number): number {
    const port = this.ports[node];
    if (port === undefined) throw new RangeError(`there is no gateway ${node}`);
    return port;
  }
}
