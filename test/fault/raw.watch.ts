import { Agent, request } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import { WebSocket } from 'ws';
import { PUSH_V1 } from '../../src/protocol/messages.js';

const PUSH_EVERY_MS = 50;
const LOOK_AGAIN_MS = 20;
const RETRY_MS = 100;
const FLOOD_BYTES = 500_000;

interface Datum {
  /** Of the node that it was pushed on. */
  readonly series: string;
  readonly n: number;
}

/** Pushes raw data on every node, and watches on every node how fresh those of each other are. */
export class RawWatch {
  private readonly agent = new Agent({ keepAlive: true });
  private readonly watchers: Watcher[];
  private readonly timer: NodeJS.Timeout;
  /** Nodes that have not answered the last push yet: the next waits, lest the two change places on their way. */
  private readonly busy = new Set<number>();
  private pushed = 0;

  constructor(private readonly ports: readonly number[]) {
    this.watchers = ports.map((port) => new Watcher(port));
    this.timer = setInterval(() => ports.forEach((port, node) => this.push(port, node)), PUSH_EVERY_MS);
  }

  /** How often a watcher was given an older value of a series after a newer one, in one connection. */
  get setbacks(): number {
    return this.watchers.reduce((sum, { setbacks }) => sum + setbacks, 0);
  }

  /**
   * Resolves when every node has delivered, from every node, something that was pushed from now on; with the milliseconds
   * that it took.
   */
  async untilFresh(deadlineMs: number): Promise<number> {
    const begunMs = performance.now();
    const from = this.pushed;
    for (;;) {
      const stale = this.watchers.flatMap((watcher, node) =>
        this.ports.flatMap((_, other) => (watcher.newestOf(other) > from ? [] : [`${node} of ${other}`])),
      );
      const tookMs = performance.now() - begunMs;
      if (stale.length === 0) return tookMs;
      if (tookMs > deadlineMs) throw new Error(`not within ${deadlineMs} ms: fresh raw data on ${stale.join(', ')}`);
      await sleep(LOOK_AGAIN_MS);
    }
  }

  /** Pushes large data on one node, one after the other, as long as it should. */
  async flood(node: number, goesOn: () => Promise<boolean>): Promise<void> {
    const datum = { businessType: 'fresh', businessId: '1', series: 'flood', text: 'x'.repeat(FLOOD_BYTES) };
    while (await goesOn()) await this.post(this.portOf(node), datum);
  }

  end(): void {
    clearInterval(this.timer);
    this.agent.destroy();
    for (const watcher of this.watchers) watcher.end();
  }

  private push(port: number, node: number): void {
    if (this.busy.has(node)) return;
    this.busy.add(node);
    this.pushed += 1;
    const datum = { businessType: 'fresh', businessId: '1', series: String(node), n: this.pushed };
    // A node that is down takes nothing; that the others go on is what is watched.
    const pushed = this.post(port, datum).catch(() => {});
    void pushed.finally(() => this.busy.delete(node));
  }

  private post(port: number, datum: object): Promise<void> {
    const headers = { 'Content-Type': 'application/json' };
    const path = '/push/raw-data';
    return new Promise((resolve, reject) => {
      const options = { host: '127.0.0.1', port, path, method: 'POST', agent: this.agent, headers };
      const sent = request(options, (response) => {
        response.resume().on('end', () => {
          if (response.statusCode === 202) resolve();
          else reject(new Error(`a push was answered ${response.statusCode}`));
        });
      });
      sent.on('error', reject);
      sent.end(JSON.stringify(datum));
    });
  }

  private portOf(node: number): number {
    const port = this.ports[node];
    if (port === undefined) throw new RangeError(`there is no node ${node}`);
    return port;
  }
}

/** A client of one node that comes back after each end of its connection. */
class Watcher {
  private readonly newest = new Map<string, number>();
  private newestHere = new Map<string, number>();
  private socket: WebSocket | undefined;
  private retry: NodeJS.Timeout | undefined;
  private isEnded = false;
  setbacks = 0;

  constructor(private readonly port: number) {
    this.connect();
  }

  newestOf(node: number): number {
    return this.newest.get(String(node)) ?? 0;
  }

  end(): void {
    this.isEnded = true;
    clearTimeout(this.retry);
    this.socket?.terminate();
  }

  private connect(): void {
    const url = `ws://127.0.0.1:${this.port}/ws/rowdata/fresh/1/watcher?snapshot=true&user=watcher`;
    const socket = new WebSocket(url, [PUSH_V1], { perMessageDeflate: false });
    this.socket = socket;
    this.newestHere = new Map();
    socket.on('message', (data) => this.take(socket, String(data)));
    // It ends in a close, and that is answered.
    socket.on('error', () => {});
    socket.on('close', () => {
      if (!this.isEnded) this.retry = setTimeout(() => this.connect(), RETRY_MS);
    });
  }

  private take(socket: WebSocket, text: string): void {
    const { event, data } = JSON.parse(text) as { event: string; data: Datum };
    if (event === 'mark') socket.send(text);
    if (event !== 'rawData' || data.series === 'flood') return;
    if (data.n < (this.newestHere.get(data.series) ?? 0)) this.setbacks += 1;
    this.newestHere.set(data.series, data.n);
    this.newest.set(data.series, Math.max(data.n, this.newest.get(data.series) ?? 0));
  }
}
