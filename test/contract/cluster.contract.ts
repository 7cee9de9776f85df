import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import type { Cluster, ClusterCommand, ClusterQuestion } from '../../src/bus/cluster.js';
import { until, within } from '../support/deadline.js';

const SAY: ClusterCommand<{ readonly n: number }> = { name: 'say' };
const OTHER: ClusterCommand<{ readonly n: number }> = { name: 'other' };
const DOUBLE: ClusterQuestion<{ readonly n: number }, { readonly n: number }> = { name: 'double' };
const NONE = { rawData: 0, alarms: 0 };

export interface ClusterContract {
  /** A node of the cluster of this test. */
  readonly open: () => Promise<Cluster>;
  readonly cleanUp?: () => Promise<void>;
  /** Whether there can be others. */
  readonly isOfSeveral: boolean;
}

/** What every backend of {@link Cluster} has to keep. */
export function describeCluster(name: string, { open, cleanUp, isOfSeveral }: ClusterContract): void {
  let opened: Cluster[];
  const openNode = async () => {
    const node = await open();
    opened.push(node);
    return node;
  };

  beforeEach(() => {
    opened = [];
  });
  afterEach(async () => {
    await Promise.all(opened.map((node) => node.close()));
    await cleanUp?.();
  });

  describe(`${name}: one node`, () => {
    test('is among the nodes from when it joins until it closes', async () => {
      const node = await openNode();
      expect(await node.nodes()).toEqual([]);
      const beforeMs = Date.now();
      await node.join(() => ({ rawData: 3, alarms: 4 }));
      const [entry, ...others] = await node.nodes();
      expect(others).toEqual([]);
      expect(entry).toEqual({
        nodeId: node.nodeId,
        host: expect.stringMatching(/./),
        pid: process.pid,
        startedAt: expect.any(Date),
        rawData: 3,
        alarms: 4,
      });
      expect(Math.abs((entry?.startedAt.getTime() ?? 0) - beforeMs)).toBeLessThan(60_000);
    });

    test('has no fault, and a name of its own', async () => {
      const [first, second] = [await openNode(), await openNode()];
      expect(first.fault).toBeUndefined();
      expect(first.untoldCount).toBe(isOfSeveral ? 0 : undefined);
      expect(first.nodeId).toMatch(/^[\w-]{8,}$/);
      expect(first.nodeId).not.toBe(second.nodeId);
    });

    test('does not hear itself', async () => {
      const node = await openNode();
      const heard: unknown[] = [];
      node.onTold(SAY, (data) => heard.push(data));
      node.tell(SAY, { n: 1 });
      // Whatever would come back has come when a question has been answered, or was not.
      expect(await node.ask('nobody', DOUBLE, { n: 1 })).toBeUndefined();
      expect(heard).toEqual([]);
    });

    test('says nothing and harms nobody after it was closed, also twice', async () => {
      const node = await openNode();
      await node.join(() => NONE);
      await node.close();
      await node.close();
      expect(() => node.tell(SAY, { n: 1 })).not.toThrow();
    });
  });

  if (isOfSeveral) describeSeveral(name, openNode);
}

function describeSeveral(name: string, openNode: () => Promise<Cluster>): void {
  describe(`${name}: several nodes`, () => {
    let first: Cluster;
    let second: Cluster;
    let third: Cluster;

    beforeEach(async () => {
      first = await openNode();
      second = await openNode();
      third = await openNode();
      for (const node of [first, second, third]) await node.join(() => NONE);
    });

    /** What each has heard, once `first` and `third` have. */
    const listen = (command: ClusterCommand<{ readonly n: number }>) => {
      const heard = [first, second, third].map(() => [] as number[]);
      for (const [index, node] of [first, second, third].entries()) {
        node.onTold(command, ({ n }) => heard[index]?.push(n));
      }
      return heard;
    };

    test('all know the same nodes, in one order', async () => {
      const ids = (await first.nodes()).map(({ nodeId }) => nodeId);
      expect(new Set(ids)).toEqual(new Set([first, second, third].map(({ nodeId }) => nodeId)));
      for (const node of [second, third]) {
        expect((await node.nodes()).map(({ nodeId }) => nodeId)).toEqual(ids);
      }
    });

    test('one that closes is gone at once', async () => {
      await second.close();
      expect((await first.nodes()).map(({ nodeId }) => nodeId)).not.toContain(second.nodeId);
      expect(await first.nodes()).toHaveLength(2);
    });

    test('a command reaches all others once, in order, and not its sender', async () => {
      const heard = listen(SAY);
      for (let n = 0; n < 50; n++) second.tell(SAY, { n });
      const all = Array.from({ length: 50 }, (_, n) => n);
      await until(() => heard[0]?.length === 50 && heard[2]?.length === 50, 'all have heard it');
      expect(heard).toEqual([all, [], all]);
    });

    test('a command that nobody knows is ignored, and so is one that is listened to no more', async () => {
      const heard: number[] = [];
      const stop = first.onTold(SAY, ({ n }) => heard.push(n));
      second.tell(OTHER, { n: 0 });
      second.tell(SAY, { n: 1 });
      await until(() => heard.length === 1, 'it is heard');
      stop();
      second.tell(SAY, { n: 2 });
      const isLast = new Promise<void>((resolve) => void first.onTold(OTHER, () => resolve()));
      second.tell(OTHER, { n: 3 });
      await within(isLast, 'the last command');
      expect(heard).toEqual([1]);
    });

    test('a listener that throws harms neither the others nor what comes next', async () => {
      const heard: number[] = [];
      first.onTold(SAY, () => {
        throw new Error('a listener');
      });
      first.onTold(SAY, ({ n }) => heard.push(n));
      second.tell(SAY, { n: 1 });
      second.tell(SAY, { n: 2 });
      await until(() => heard.length === 2, 'both are heard');
      expect(heard).toEqual([1, 2]);
    });

    test('a question is answered by the node that is asked', async () => {
      first.onAsked(DOUBLE, ({ n }) => ({ n: 2 * n }));
      third.onAsked(DOUBLE, async ({ n }) => ({ n: 3 * n }));
      expect(await second.ask(first.nodeId, DOUBLE, { n: 7 })).toEqual({ n: 14 });
      const many = Array.from({ length: 50 }, (_, n) => second.ask(third.nodeId, DOUBLE, { n }));
      expect((await Promise.all(many)).map((answer) => answer?.n)).toEqual(many.map((_, n) => 3 * n));
    });

    test('an answer may be long', async () => {
      const LONG: ClusterQuestion<null, string> = { name: 'long' };
      first.onAsked(LONG, () => 'x'.repeat(3_000_000));
      expect((await second.ask(first.nodeId, LONG, null))?.length).toBe(3_000_000);
    });

    test.each<[string, (node: Cluster) => void]>([
      ['does not know the question', () => {}],
      ['throws', (node) => node.onAsked(DOUBLE, () => Promise.reject(new Error('an answer')))],
      ['never answers', (node) => node.onAsked(DOUBLE, () => new Promise<never>(() => {}))],
      ['answers no more', (node) => node.onAsked(DOUBLE, ({ n }) => ({ n }))()],
    ])('a node that %s is silent', async (_, prepare) => {
      prepare(first);
      expect(await within(second.ask(first.nodeId, DOUBLE, { n: 1 }), 'the deadline')).toBeUndefined();
    });

    test('a node that is gone is silent at once', async () => {
      await first.close();
      const startedAtMs = performance.now();
      expect(await second.ask(first.nodeId, DOUBLE, { n: 1 })).toBeUndefined();
      expect(performance.now() - startedAtMs).toBeLessThan(500);
    });
  });
}
