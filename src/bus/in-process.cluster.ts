import { randomBytes } from 'node:crypto';
import { hostname } from 'node:os';
import type { ClientCounts, Cluster, NodeInfo } from './cluster.js';

/** The cluster of a single node. */
export class InProcessCluster implements Cluster {
  readonly nodeId = randomBytes(9).toString('base64url');
  readonly fault = undefined;
  readonly untoldCount = undefined;
  private readonly startedAt = new Date();
  private counts: (() => ClientCounts) | undefined;

  async join(counts: () => ClientCounts): Promise<void> {
    this.counts = counts;
  }

  async nodes(): Promise<NodeInfo[]> {
    if (this.counts === undefined) return [];
    const { nodeId, startedAt } = this;
    return [{ nodeId, host: hostname(), pid: process.pid, startedAt, ...this.counts() }];
  }

  tell(): void {}

  onTold(): () => void {
    return () => {};
  }

  async ask(): Promise<undefined> {}

  onAsked(): () => void {
    return () => {};
  }

  onReturned(): () => void {
    return () => {};
  }

  async close(): Promise<void> {
    this.counts = undefined;
  }
}
