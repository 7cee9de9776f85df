import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { within } from '../support/deadline.js';
import type { Random } from '../support/random.js';
import { check, type CheckReport } from './checker.js';
import { FaultProcess } from './fault.process.js';
import { freePort } from '../support/free.port.js';
import { Gateways } from './gateways.js';
import type { ClientEvent, Profile, ProducerEvent } from './history.js';
import { HistoryWriter, readHistory } from './history.file.js';
import { Producer } from './producer.js';
import { profilesOf } from './profiles.js';
import type { ClientsApi } from './programs/clients.api.js';
import type { GatewaySettings } from './programs/gateway.api.js';
import type { Programs } from './programs.js';

const LOOK_AGAIN_MS = 50;
const CATCH_UP_DEADLINE_MS = 60_000;
const STOP_DEADLINE_MS = 30_000;
const FAULTS_DEADLINE_MS = 300_000;

export interface FaultRunOptions {
  readonly programs: Programs;
  readonly random: Random;
  /** Clients that no fault is aimed at, and those in a process of their own, which can be stopped. */
  readonly clients: number;
  readonly stoppable?: number;
  readonly alarmsPerSecond?: number;
  readonly maxUnacked?: number;
  /** Absent: in the temporary folder of the run. */
  readonly alarmLogPath?: string;
  /** For everything that the test does. */
  readonly deadlineMs?: number;
  readonly gateway?: Pick<GatewaySettings, 'alarmRetention' | 'alarmRetentionHours' | 'inFlightBytes'>;
  /** Absent: one node, with a log of its own. */
  readonly nodes?: { readonly count: number; readonly redisUrl: string };
}

export interface FaultReport extends CheckReport {
  readonly faults: number;
  readonly seconds: number;
}

/** Gateways, producers and clients in processes of their own, what they write down, and the faults between them. */
export class FaultRun {
  private readonly startedAtMs = performance.now();
  private readonly profiles: Profile[] = [];
  private faults = 0;
  readonly crowd: FaultProcess<ClientsApi>;
  readonly stoppable: FaultProcess<ClientsApi>;
  readonly producer: Producer;

  private constructor(
    private readonly options: FaultRunOptions,
    private readonly folder: string,
    readonly gateways: Gateways,
    private readonly maxUnacked: number,
  ) {
    const { programs, random, alarmsPerSecond = 100 } = options;
    this.crowd = new FaultProcess(programs.file('clients'), 'the clients');
    this.stoppable = new FaultProcess(programs.file('clients'), 'the clients that are stopped');
    const history = new HistoryWriter<ProducerEvent>(join(folder, 'producer'));
    this.producer = new Producer(gateways.ports, alarmsPerSecond, random, history);
  }

  /** Runs what the test does between a start and an end, and checks what was written down. Leaves nothing behind. */
  static async during(options: FaultRunOptions, body: (run: FaultRun) => Promise<void>): Promise<FaultReport> {
    const folder = mkdtempSync(join(tmpdir(), 'push-gateway-fault-'));
    const { programs, alarmLogPath = join(folder, 'log'), maxUnacked = 100, gateway, nodes } = options;
    const ports: number[] = [];
    while (ports.length < (nodes?.count ?? 1)) ports.push(await freePort());
    const place = nodes === undefined ? { alarmLogPath } : { redisUrl: nodes.redisUrl };
    const gateways = new Gateways(programs, ports, { ...place, maxUnacked, ...gateway });
    const run = new FaultRun(options, folder, gateways, maxUnacked);
    try {
      await run.start();
      // Before jest gives up, or what was started would be left behind.
      await within(body(run), 'all faults happened', options.deadlineMs ?? FAULTS_DEADLINE_MS);
      return await run.finish();
    } finally {
      await run.cleanUp();
    }
  }

  async startGateway(node = 0): Promise<void> {
    await this.gateways.start(node);
  }

  async killGateway(node = 0): Promise<void> {
    this.note(`kill -9 of gateway ${node}`);
    await this.gateways.kill(node);
  }

  /** Kills it also in the midst of its start. */
  async killWhileStarting(afterMs: number): Promise<void> {
    this.note('kill -9 of a gateway that starts');
    await this.gateways.killWhileStarting(0, afterMs);
  }

  /** The clock of the gateways, now and after restarts. */
  async shiftClock(ms: number): Promise<void> {
    this.note(`the clock is ${ms} ms off`);
    await this.gateways.shiftClock(ms);
  }

  /** Resets each client's socket until each was reset so often. */
  async resetClients(times: number, withinMs: number): Promise<void> {
    this.note(`every socket is reset ${times} times`);
    for (let fewest = 0; fewest < times;) {
      const counts = await Promise.all([this.crowd.call('reset', withinMs), this.stoppable.call('reset', withinMs)]);
      fewest = Math.min(...counts);
    }
  }

  note(what: string): void {
    this.faults += 1;
    this.producer.note(what);
  }

  /** Waits until so many more alarms are accepted. */
  async accepted(count: number, deadlineMs = STOP_DEADLINE_MS): Promise<void> {
    const target = this.producer.accepted + count;
    await untilTrue(() => this.producer.accepted >= target, `${count} more alarms are accepted`, deadlineMs);
  }

  /** Waits until the gateway has refused so many more alarms. */
  async refused(count: number): Promise<void> {
    const target = this.producer.refusals + count;
    await untilTrue(() => this.producer.refusals >= target, `${count} more alarms are refused`, STOP_DEADLINE_MS);
  }

  private async start(): Promise<void> {
    const { random, clients, stoppable = 0 } = this.options;
    const { maxUnacked } = this;
    const { ports } = this.gateways;
    await this.gateways.startAll();
    const start = async (process: FaultProcess<ClientsApi>, profiles: Profile[]) => {
      this.profiles.push(...profiles);
      mkdirSync(this.clientsFolder, { recursive: true });
      await process.call('start', { ports, folder: this.clientsFolder, profiles, seed: random.below(2 ** 32) });
    };
    await start(this.crowd, profilesOf(random, 'crowd', clients, maxUnacked));
    await start(this.stoppable, profilesOf(random, 'stoppable', stoppable, maxUnacked));
  }

  private get clientsFolder(): string {
    return join(this.folder, 'clients');
  }

  private async finish(): Promise<FaultReport> {
    await within(this.producer.stop(), 'every alarm is accepted or given up', STOP_DEADLINE_MS);
    await this.audit();
    // Who does not get there is the checker's to name.
    await this.caughtUp();
    await Promise.all([this.crowd.call('end', undefined), this.stoppable.call('end', undefined)]);
    const clients = this.profiles.map((profile) => ({
      profile,
      events: readHistory<ClientEvent>(join(this.clientsFolder, profile.name)),
    }));
    const report = check(readHistory<ProducerEvent>(join(this.folder, 'producer')), clients);
    return { ...report, faults: this.faults, seconds: Math.round((performance.now() - this.startedAtMs) / 1000) };
  }

  /** One more client, who reads the whole log in the end. */
  private async audit(): Promise<void> {
    const auditor: Profile = { name: 'auditor', orgId: '*', replaysAll: true };
    this.profiles.push(auditor);
    const { ports } = this.gateways;
    await this.crowd.call('start', { ports, folder: this.clientsFolder, profiles: [auditor], seed: 0 });
  }

  private async caughtUp(): Promise<void> {
    const untilMs = performance.now() + CATCH_UP_DEADLINE_MS;
    const cursor = this.producer.newestCursor;
    while (performance.now() < untilMs) {
      const behind = await Promise.all([this.crowd.call('behind', cursor), this.stoppable.call('behind', cursor)]);
      if (behind.flat().length === 0) return;
      await sleep(LOOK_AGAIN_MS);
    }
  }

  private async cleanUp(): Promise<void> {
    await Promise.all([this.gateways.killAll(), this.crowd.kill(), this.stoppable.kill()]);
    rmSync(this.folder, { recursive: true, force: true });
  }
}

async function untilTrue(condition: () => boolean, what: string, deadlineMs: number): Promise<void> {
  const deadlineAtMs = performance.now() + deadlineMs;
  while (!condition()) {
    if (performance.now() > deadlineAtMs) throw new Error(`not within ${deadlineMs} ms: ${what}`);
    await sleep(LOOK_AGAIN_MS);
  }
}
