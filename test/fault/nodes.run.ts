import { RedisServer } from '../support/redis.process.js';
import { FaultRun, type FaultReport, type FaultRunOptions } from './fault.run.js';
import { RawWatch } from './raw.watch.js';
import { untilReadiness } from './readiness.js';

/** What the documentation promises of several nodes. */
const READINESS_DEADLINE_MS = 10_000;
const FRESH_DEADLINE_MS = 5000;

export interface NodesReport extends FaultReport {
  readonly slowestRedMs: number;
  readonly slowestGreenMs: number;
  readonly slowestFreshMs: number;
  /** An older value of a series after a newer one. */
  readonly setbacks: number;
}

/** Several nodes on one Redis, alarms and raw data through all of them, and the faults of Redis. */
export class NodesRun {
  private slowestRedMs = 0;
  private slowestGreenMs = 0;
  private slowestFreshMs = 0;

  private constructor(
    readonly run: FaultRun,
    readonly redis: RedisServer,
    private readonly raw: RawWatch,
  ) {}

  static async during(
    options: Omit<FaultRunOptions, 'nodes'> & { readonly count: number },
    body: (nodes: NodesRun) => Promise<void>,
  ): Promise<NodesReport> {
    const { count, ...others } = options;
    const redis = await RedisServer.start();
    const started: NodesRun[] = [];
    try {
      const report = await FaultRun.during({ ...others, nodes: { count, redisUrl: redis.url } }, async (run) => {
        const nodes = new NodesRun(run, redis, new RawWatch(run.gateways.ports));
        started.push(nodes);
        await nodes.fresh();
        await body(nodes);
        await nodes.fresh();
      });
      const [nodes] = started;
      if (nodes === undefined) throw new Error('the run ended before it had begun');
      const { slowestRedMs, slowestGreenMs, slowestFreshMs, raw } = nodes;
      return { ...report, slowestRedMs, slowestGreenMs, slowestFreshMs, setbacks: raw.setbacks };
    } finally {
      for (const { raw } of started) raw.end();
      await redis.stop();
    }
  }

  /** Every node notices that Redis is away. */
  async red(): Promise<void> {
    const tookMs = await untilReadiness(this.run.gateways.ports, false, READINESS_DEADLINE_MS);
    this.slowestRedMs = Math.round(Math.max(this.slowestRedMs, tookMs));
  }

  /** Every node is ready. */
  async green(): Promise<void> {
    const tookMs = await untilReadiness(this.run.gateways.ports, true, READINESS_DEADLINE_MS);
    this.slowestGreenMs = Math.round(Math.max(this.slowestGreenMs, tookMs));
  }

  /** What is pushed from now on reaches the clients of every node. */
  async fresh(): Promise<void> {
    const tookMs = await this.raw.untilFresh(FRESH_DEADLINE_MS);
    this.slowestFreshMs = Math.round(Math.max(this.slowestFreshMs, tookMs));
  }

  /** Pushes raw data on the node behind this one until Redis has cut a subscriber. */
  async untilCut(stopped: number): Promise<void> {
    const subscribers = async () =>
      (await this.redis.command('CLIENT', 'LIST', 'TYPE', 'pubsub')).match(/^id=/gm)?.length;
    const before = await subscribers();
    await this.raw.flood((stopped + 1) % this.run.gateways.count, async () => (await subscribers()) === before);
  }
}
