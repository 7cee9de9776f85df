import { randomUUID } from 'node:crypto';
import type { ClientCounts, Cluster, ClusterCommand, ClusterQuestion, NodeInfo } from '../../src/bus/cluster.js';

type Listener = (data: unknown) => void;
type Answerer = (data: unknown) => unknown;

/** Nodes of one process, for tests of what nodes say to each other; it keeps the contract of the real ones. */
export class MemoryCluster implements Cluster {
  readonly nodeId = randomUUID();
  fault: string | undefined;
  untoldCount = 0;
  private readonly startedAt = new Date();
  private counts: (() => ClientCounts) | undefined;
  private readonly listeners = new Map<string, Set<Listener>>();
  private readonly answerers = new Map<string, Answerer>();
  private readonly returnListeners = new Set<() => void>();

  constructor(private readonly network: Set<MemoryCluster> = new Set()) {
    network.add(this);
  }

  /** Another node of the same cluster. */
  another(): MemoryCluster {
    return new MemoryCluster(this.network);
  }

  /** What is told to and by this node is lost until it returns. */
  lose(): void {
    this.fault = 'the test wants it so';
  }

  return(): void {
    this.fault = undefined;
    for (const listener of this.returnListeners) listener();
  }

  async join(counts: () => ClientCounts): Promise<void> {
    this.counts = counts;
  }

  async nodes(): Promise<NodeInfo[]> {
    return [...this.network].flatMap(({ nodeId, startedAt, counts }) =>
      counts === undefined ? [] : [{ nodeId, host: 'localhost', pid: process.pid, startedAt, ...counts() }],
    );
  }

  tell<T>({ name }: ClusterCommand<T>, data: T): void {
    const text = JSON.stringify(data);
    if (!this.network.has(this)) return;
    if (this.fault !== undefined) {
      this.untoldCount += 1;
      return;
    }
    for (const node of this.network) if (node !== this) queueMicrotask(() => node.hear(name, text));
  }

  onTold<T>({ name }: ClusterCommand<T>, listener: (data: T) => void): () => void {
    const listeners = this.listeners.get(name) ?? new Set();
    this.listeners.set(name, listeners);
    listeners.add(listener as Listener);
    return () => listeners.delete(listener as Listener);
  }

  async ask<Q, A>(nodeId: string, { name }: ClusterQuestion<Q, A>, data: Q): Promise<A | undefined> {
    const node = [...this.network].find((each) => each.nodeId === nodeId);
    const answerer = node?.answerers.get(name);
    if (answerer === undefined || this.fault !== undefined || node?.fault !== undefined) return undefined;
    const deadline = new Promise<undefined>((resolve) => setTimeout(() => resolve(undefined), 100).unref());
    const answer = (async () => JSON.parse(JSON.stringify(await answerer(JSON.parse(JSON.stringify(data))))) as A)();
    return Promise.race([answer.catch(() => undefined), deadline]);
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
    this.network.delete(this);
  }

  private hear(name: string, text: string): void {
    if (this.fault !== undefined || !this.network.has(this)) return;
    for (const listener of this.listeners.get(name) ?? []) {
      try {
        listener(JSON.parse(text));
      } catch {
        // As the real one, which reports it.
      }
    }
  }
}
