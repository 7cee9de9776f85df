import { hostname } from 'node:os';
import { randomUUID } from 'node:crypto';
import type { ClientCounts, Cluster, ClusterCommand, ClusterQuestion, NodeInfo } from '../bus/cluster.js';
import { ClusterUnavailableError, PushConfigurationError } from '../push.errors.js';
import type { SentClusterMessage } from './cluster.message.js';
import { ControlChannel } from './control-channel.js';
import { RedisDeadlineError, withinMs } from './deadline.js';
import type { FaultLog } from './fault.log.js';
import type { RedisConnection } from './redis.connection.js';
import { RedisNodes } from './redis.nodes.js';

export interface RedisClusterOptions {
  readonly connection: RedisConnection;
  readonly faults: FaultLog;
  /** How often a node renews its entry. Default 5,000. */
  readonly heartbeatMs?: number;
  /** How long an entry lives that is not renewed. Default 15,000. */
  readonly expiryMs?: number;
  /** How often it is looked whether the control channel carries; a dead one is found within four times this. Default 2,000. */
  readonly probeIntervalMs?: number;
  /** How long it waits for Redis, and for the answer of another node. Default 2,000. */
  readonly deadlineMs?: number;
  /** How long {@link RedisCluster.open} waits until other nodes can be heard. Default 10,000. */
  readonly openDeadlineMs?: number;
}

const OPEN_DEADLINE_MS = 10_000;
const CLOSE_DEADLINE_MS = 1000;

type Listener = (data: unknown) => void;
type Answerer = (data: unknown) => unknown;

/** Nodes that share one Redis and one prefix: an entry of each, and pub/sub between them. */
export class RedisCluster implements Cluster {
  readonly nodeId: string;
  private readonly startedAt = new Date();
  private readonly nodesInRedis: RedisNodes;
  private readonly channel: ControlChannel;
  private readonly tellListeners = new Map<string, Set<Listener>>();
  private readonly answerers = new Map<string, Answerer>();
  private readonly returnListeners = new Set<() => void>();
  /** By the question's id. */
  private readonly asked = new Map<string, () => void>();
  private readonly deadlineMs: number;
  private readonly heartbeatMs: number;
  private counts: (() => ClientCounts) | undefined;
  private timer: NodeJS.Timeout | undefined;
  private readonly stopRenewing: () => void;
  private isClosed = false;

  constructor(private readonly options: RedisClusterOptions) {
    const { connection, faults, expiryMs = 15_000, probeIntervalMs = 2000 } = options;
    ({ heartbeatMs: this.heartbeatMs = 5000, deadlineMs: this.deadlineMs = 2000 } = options);
    this.nodeId = connection.nodeId;
    this.nodesInRedis = new RedisNodes(connection, expiryMs);
    this.channel = new ControlChannel({
      connection,
      onMessage: (message) => this.take(message),
      onChanged: (carries) => carries && this.notifyReturned(),
      faults,
      probeIntervalMs,
    });
    this.stopRenewing = connection.commands.onUp(() => void this.renew());
  }

  /** Resolves once other nodes can be heard. Throws {@link PushConfigurationError} where that takes too long. */
  static async open(options: RedisClusterOptions): Promise<RedisCluster> {
    const cluster = new RedisCluster(options);
    try {
      await withinMs(cluster.whenReturned(), options.openDeadlineMs ?? OPEN_DEADLINE_MS);
      return cluster;
    } catch {
      await cluster.close();
      throw new PushConfigurationError([
        'Redis did not pass on what this node sent itself: its user needs the right to publish and to subscribe to the channels of redisPrefix',
      ]);
    }
  }

  get fault(): string | undefined {
    return this.channel.carries ? undefined : 'Redis does not pass on what nodes tell each other';
  }

  get untoldCount(): number {
    return this.channel.untoldCount;
  }

  async join(counts: () => ClientCounts): Promise<void> {
    this.counts = counts;
    this.timer ??= setInterval(() => void this.renew(), this.heartbeatMs).unref();
    await this.renew();
  }

  async nodes(): Promise<NodeInfo[]> {
    try {
      return await withinMs(this.nodesInRedis.list(), this.deadlineMs);
    } catch (cause) {
      throw new ClusterUnavailableError(cause);
    }
  }

  tell<T>({ name }: ClusterCommand<T>, data: T): void {
    if (!this.isClosed) this.channel.send({ kind: 'tell', name, data });
  }

  onTold<T>({ name }: ClusterCommand<T>, listener: (data: T) => void): () => void {
    const listeners = this.tellListeners.get(name) ?? new Set();
    this.tellListeners.set(name, listeners);
    listeners.add(listener as Listener);
    return () => listeners.delete(listener as Listener);
  }

  async ask<Q, A>(nodeId: string, { name }: ClusterQuestion<Q, A>, data: Q): Promise<A | undefined> {
    const id = randomUUID();
    const isAnswered = new Promise<void>((resolve) => this.asked.set(id, resolve));
    try {
      const answering = this.fetchAnswer<Q, A>(nodeId, { name, data, id }, isAnswered);
      const answer = await withinMs(answering, this.deadlineMs);
      this.options.faults.succeeded('ask another node');
      return answer;
    } catch (cause) {
      if (!(cause instanceof RedisDeadlineError)) this.reportWhileUp('ask another node', cause);
      return undefined;
    } finally {
      this.asked.delete(id);
    }
  }

  onAsked<Q, A>({ name }: ClusterQuestion<Q, A>, answer: (data: Q) => A | Promise<A>): () => void {
    this.answerers.set(name, answer as Answerer);
    return () => this.answerers.delete(name);
  }

  onReturned(listener: () => void): () => void {
    this.returnListeners.add(listener);
    return () => this.returnListeners.delete(listener);
  }

  async close(): Promise<void> {
    if (this.isClosed) return;
    this.isClosed = true;
    clearInterval(this.timer);
    this.stopRenewing();
    this.channel.close();
    if (this.counts === undefined || !this.options.connection.commands.isUp) return;
    try {
      await withinMs(this.nodesInRedis.remove(this.nodeId), CLOSE_DEADLINE_MS);
    } catch (cause) {
      // Its expiry removes it.
      this.reportWhileUp('take this node out of the nodes', cause);
    }
  }

  private async renew(): Promise<void> {
    if (this.counts === undefined || this.isClosed || !this.options.connection.commands.isUp) return;
    const { nodeId, startedAt } = this;
    try {
      const entry = { nodeId, host: hostname(), pid: process.pid, startedAt, ...this.counts() };
      await withinMs(this.nodesInRedis.renew(entry), this.deadlineMs);
      this.options.faults.succeeded('renew the entry of this node');
    } catch (cause) {
      this.reportWhileUp('renew the entry of this node', cause);
    }
  }

  private take(message: SentClusterMessage): void {
    switch (message.kind) {
      case 'tell':
        for (const listener of this.tellListeners.get(message.name) ?? []) {
          this.guard(`take in "${message.name}" of another node`, () => listener(message.data));
        }
        return;
      case 'ask':
        void this.answer(message);
        return;
      case 'answer':
        this.asked.get(message.id)?.();
        return;
      case 'probe':
        return;
      default:
        message satisfies never;
    }
  }

  /** The answer lies under a key of its own until it is fetched, or too late. */
  private async answer({ from, name, data, id }: SentClusterMessage & { kind: 'ask' }): Promise<void> {
    const answerer = this.answerers.get(name);
    if (answerer === undefined || this.isClosed) return;
    const what = `answer "${name}" of another node`;
    try {
      const text = JSON.stringify(await answerer(data));
      const PX = 2 * this.deadlineMs;
      await this.options.connection.commands.client.set(this.answerKey(id), text, { PX });
      this.channel.send({ kind: 'answer', id }, from);
      this.options.faults.succeeded(what);
    } catch (cause) {
      this.reportWhileUp(what, cause);
    }
  }

  private async fetchAnswer<Q, A>(
    nodeId: string,
    question: { name: string; data: Q; id: string },
    isAnswered: Promise<void>,
  ): Promise<A | undefined> {
    const listeners = await this.channel.publish({ kind: 'ask', ...question }, nodeId);
    if (listeners === 0) return undefined;
    await isAnswered;
    const text = await this.options.connection.commands.client.getDel(this.answerKey(question.id));
    return text === null ? undefined : (JSON.parse(text) as A);
  }

  private answerKey(id: string): string {
    return this.options.connection.key('answer', id);
  }

  private whenReturned(): Promise<void> {
    return new Promise((resolve) => {
      const stop = this.onReturned(() => {
        stop();
        resolve();
      });
    });
  }

  private notifyReturned(): void {
    for (const listener of this.returnListeners) this.guard('take up again what other nodes are told', listener);
  }

  private guard(what: string, listener: () => void): void {
    try {
      listener();
      this.options.faults.succeeded(what);
    } catch (cause) {
      this.options.faults.failed(what, cause);
    }
  }

  /** A link that is lost is told by the connection itself. */
  private reportWhileUp(what: string, cause: unknown): void {
    if (this.options.connection.commands.isUp) this.options.faults.failed(what, cause);
  }
}
