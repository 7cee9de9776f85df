import { connect, type Socket } from 'node:net';
import type { SlowPlan, SlowReport } from './hostile.api.js';
import { upgradeRequest } from './client.frame.js';

type Slowness = 'silent' | 'half a request' | 'dripping';

const KINDS: readonly Slowness[] = ['silent', 'half a request', 'dripping'];
const DRIP_INTERVAL_MS = 250;
const DRIP = 'X-Drip: 1\r\n';
const LOOK_INTERVAL_MS = 50;

/** Holds upgrades that never come to an end; in place of each that the server cuts it opens another at once. */
export class SlowUpgrades {
  private readonly open = new Map<Socket, Slowness>();
  private readonly timers: readonly NodeJS.Timeout[];
  private readonly openCounts: number[] = [];
  private cut = 0;
  private failed = 0;
  private isStopped = false;

  constructor(private readonly plan: SlowPlan) {
    for (let i = 0; i < plan.count; i++) this.add(i);
    this.timers = [
      setInterval(() => this.drip(), DRIP_INTERVAL_MS),
      setInterval(() => this.openCounts.push(this.open.size), LOOK_INTERVAL_MS),
    ];
  }

  get count(): number {
    return this.open.size;
  }

  forgetCounts(): void {
    this.openCounts.length = 0;
    this.cut = 0;
    this.failed = 0;
  }

  report(): SlowReport {
    const { openCounts, cut, failed } = this;
    const sum = openCounts.reduce((total, count) => total + count, 0);
    return { meanOpen: sum / openCounts.length, lowestOpen: Math.min(...openCounts), cut, failed };
  }

  stop(): void {
    this.isStopped = true;
    for (const timer of this.timers) clearInterval(timer);
    for (const socket of this.open.keys()) socket.destroy();
  }

  private add(index: number): void {
    const { port, path, sourceAddresses } = this.plan;
    const slowness = KINDS[index % KINDS.length] ?? 'silent';
    const localAddress = `127.0.0.${1 + (index % sourceAddresses)}`;
    const socket = connect({ host: '127.0.0.1', port, localAddress });
    socket.setNoDelay(true);
    let isConnected = false;
    socket.on('connect', () => {
      isConnected = true;
      this.open.set(socket, slowness);
      const request = upgradeRequest(path, port, []);
      if (slowness === 'half a request') socket.write(request.slice(0, request.length / 2));
      else if (slowness === 'dripping') socket.write(request.slice(0, request.indexOf('Sec-WebSocket')));
    });
    // A cut connection may end by a reset; one that was never made is counted as such.
    socket.on('error', () => (this.failed += isConnected ? 0 : 1));
    socket.on('close', () => {
      this.open.delete(socket);
      if (this.isStopped) return;
      this.cut += 1;
      this.add(index);
    });
    // So that the end of the connection is seen.
    socket.resume();
  }

  private drip(): void {
    for (const [socket, slowness] of this.open) if (slowness === 'dripping' && socket.writable) socket.write(DRIP);
  }
}
