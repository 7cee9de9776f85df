import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from '@jest/globals';
import type { Logger } from '@nestjs/common';
import type { ClusterCommand, ClusterQuestion } from '../../src/bus/cluster.js';
import { ClusterUnavailableError } from '../../src/push.errors.js';
import { RedisCluster, type RedisClusterOptions } from '../../src/redis/redis.cluster.js';
import { RedisConnection } from '../../src/redis/redis.connection.js';
import { RedisRevocations } from '../../src/redis/redis.revocations.js';
import { RedisTickets } from '../../src/redis/redis.tickets.js';
import { FaultReporter } from '../../src/registry/fault.reporter.js';
import { Child } from '../support/child.js';
import { until, untilAsync, within } from '../support/deadline.js';
import { RedisProxy } from '../support/redis.proxy.js';
import { documentedRights } from '../support/redis.rights.js';
import { describeWithRedis, RedisServer } from '../support/redis.server.js';

const ASK: ClusterQuestion<null, { readonly n: number }> = { name: 'ask' };
const SAY: ClusterCommand<{ readonly n: number }> = { name: 'say' };

const returned = (node: RedisCluster, deadlineMs = 10_000) =>
  within(new Promise<void>((resolve) => void node.onReturned(resolve)), 'others can be reached again', deadlineMs);

async function untilNodes(node: RedisCluster, count: number): Promise<void> {
  await untilAsync(async () => (await node.nodes()).length === count, `there are ${count} nodes`);
}

/** What `to` hears of what `from` tells until it hears this one. */
async function tellUntilHeard(from: RedisCluster, to: RedisCluster, n: number): Promise<void> {
  const heard: number[] = [];
  const stop = to.onTold(SAY, (data) => heard.push(data.n));
  from.tell(SAY, { n });
  await until(() => heard.includes(n), 'the command is heard');
  expect(heard).toEqual([n]);
  stop();
}

describeWithRedis('RedisCluster', () => {
  let server: RedisServer;
  let prefix: string;
  let errors: string[];
  const add = (line: string) => void errors.push(line);
  const reporter = () => new FaultReporter({ error: add, log: add } as unknown as Logger);
  let ends: (() => Promise<void> | void)[];
  let tests = 0;

  beforeAll(async () => (server = await RedisServer.start()));
  afterAll(() => server.stop());

  beforeEach(() => {
    prefix = `test-${(tests += 1)}`;
    errors = [];
    ends = [];
  });

  afterEach(async () => {
    for (const end of ends.toReversed()) await end();
  });

  const keys = () => server.command('KEYS', `{${prefix}}:*`);

  async function open(
    { url = server.url }: { url?: string } = {},
    options: Partial<RedisClusterOptions> = {},
  ): Promise<RedisCluster> {
    const connection = await RedisConnection.open({ url, prefix });
    ends.push(() => connection.close());
    const node = await RedisCluster.open({
      connection,
      faults: reporter(),
      heartbeatMs: 100,
      expiryMs: 1000,
      ...options,
    });
    ends.push(() => node.close());
    await node.join(() => ({ rawData: 0, alarms: 0 }));
    return node;
  }

  async function startProcess(): Promise<{ child: Child; nodeId: string }> {
    const child = Child.node('test/redis/cluster.program.ts', [], { REDIS_URL: server.url, REDIS_PREFIX: prefix });
    const [, nodeId = ''] = await child.line(/^joined as (\S+)$/);
    return { child, nodeId };
  }

  test('a process that is killed vanishes from the nodes by itself', async () => {
    const node = await open();
    const { child, nodeId } = await startProcess();
    const found = (await node.nodes()).find((each) => each.nodeId === nodeId);
    expect(found).toMatchObject({ rawData: 1, alarms: 2 });
    expect(found?.pid).not.toBe(process.pid);
    child.kill('SIGKILL');
    await child.exited;
    await untilNodes(node, 1);
    expect(await server.command('HLEN', `{${prefix}}:nodes`)).toBe(':1\r\n');
  });

  test('a process that ends in order is gone at once, and one that stood still comes back', async () => {
    const node = await open({}, { expiryMs: 60_000 });
    const { child } = await startProcess();
    child.kill('SIGSTOP');
    await untilNodes(node, 1);
    child.kill('SIGCONT');
    await untilNodes(node, 2);
    child.kill('SIGTERM');
    expect(await within(child.exited, 'it ends')).toMatchObject({ code: 0 });
    expect(await node.nodes()).toHaveLength(1);
  });

  test('after the last node nothing is left in Redis', async () => {
    const node = await open();
    const { child } = await startProcess();
    child.kill('SIGKILL');
    await node.close();
    await untilAsync(async () => (await keys()) === '*0\r\n', 'nothing is left');
    expect(await keys()).toBe('*0\r\n');
  });

  test('a pub/sub link that Redis cuts is back, and that is told', async () => {
    const [first, second] = [await open(), await open()];
    for (let n = 0; n < 5; n++) {
      const back = Promise.all([returned(first), returned(second)]);
      await server.command('CLIENT', 'KILL', 'TYPE', 'pubsub');
      await back;
      expect([first.fault, second.fault]).toEqual([undefined, undefined]);
      await tellUntilHeard(first, second, n);
      await tellUntilHeard(second, first, n);
    }
    expect(errors).toEqual([]);
  });

  test('a link for commands that Redis cuts is back, and that is told: what was told meanwhile is lost', async () => {
    const [first, second] = [await open(), await open()];
    const back = Promise.all([returned(first), returned(second)]);
    await server.command('CLIENT', 'KILL', 'TYPE', 'normal');
    await back;
    await tellUntilHeard(first, second, 1);
    expect(errors).toEqual([]);
  });

  test('a link that is open and carries nothing is found within 10 s, and replaced', async () => {
    const proxy = await RedisProxy.start(server.port);
    ends.push(() => proxy.stop());
    const [first, second] = [await open({ url: proxy.url }), await open()];
    const startedAtMs = performance.now();
    const back = returned(first);
    expect(proxy.silence('push-gateway-control')).toBe(1);
    await back;
    expect(performance.now() - startedAtMs).toBeLessThan(10_000);
    await tellUntilHeard(second, first, 1);
    expect(errors).toEqual([]);
  });

  test('a Redis that stands still is a fault within 10 s, and none when it goes on', async () => {
    const node = await open();
    server.signal('SIGSTOP');
    const startedAtMs = performance.now();
    await until(() => node.fault !== undefined, 'a fault', 10_000);
    expect(performance.now() - startedAtMs).toBeLessThan(10_000);
    await expect(node.nodes()).rejects.toBeInstanceOf(ClusterUnavailableError);
    const back = returned(node);
    server.signal('SIGCONT');
    await back;
    expect(node.fault).toBeUndefined();
    await untilNodes(node, 1);
  });

  test('a Redis that was away and has lost everything has the nodes again', async () => {
    const [first, second] = [await open(), await open()];
    await server.kill();
    await until(() => first.fault !== undefined && second.fault !== undefined, 'a fault');
    first.tell(SAY, { n: 1 });
    expect(await first.ask(second.nodeId, { name: 'question' }, null)).toBeUndefined();
    await expect(first.nodes()).rejects.toBeInstanceOf(ClusterUnavailableError);
    await until(() => first.untoldCount === 1, 'it is counted');
    server.forget();
    const back = Promise.all([returned(first), returned(second)]);
    await server.restart();
    await back;
    await untilNodes(first, 2);
    await tellUntilHeard(first, second, 2);
    expect(errors).toEqual([]);
  });

  test('what is refused is logged once and counted, and that it is taken again is logged', async () => {
    await server.addUser('*', ['+@all']);
    const url = server.url.replace('redis://', 'redis://node:secret@');
    const [first, second] = [await open({ url }, { probeIntervalMs: 50 }), await open()];
    await server.command('ACL', 'SETUSER', 'node', '-publish', '-hset');
    await until(() => errors.length === 2, 'both are logged');
    for (let n = 0; n < 3; n++) first.tell(SAY, { n });
    await until(() => first.untoldCount === 3, 'they are counted');
    // Its entry has not been renewed for as long as ten times.
    await untilNodes(second, 1);
    expect(errors.toSorted()).toEqual(['cannot renew the entry of this node', 'cannot tell other nodes']);
    errors.length = 0;
    const back = returned(first);
    await server.command('ACL', 'SETUSER', 'node', '+@all');
    await back;
    await until(() => errors.length === 2, 'the return is logged');
    expect(errors.toSorted()).toEqual(['can renew the entry of this node again', 'can tell other nodes again']);
    await tellUntilHeard(first, second, 9);
    expect(first.untoldCount).toBe(3);
  });

  test('what another release or somebody else sends is ignored', async () => {
    const [first, second] = [await open(), await open()];
    const heard: unknown[] = [];
    first.onTold(SAY, (data) => heard.push(data));
    const texts = [
      '',
      'x',
      'null',
      '[]',
      '{}',
      JSON.stringify({ v: 2, from: 'x', kind: 'tell', name: 'say', data: { n: 1 } }),
      JSON.stringify({ v: 1, from: 'x', kind: 'shout', name: 'say', data: { n: 1 } }),
      JSON.stringify({ v: 1, from: 'x', kind: 'tell', data: { n: 1 } }),
      JSON.stringify({ v: 1, kind: 'tell', name: 'say', data: { n: 1 } }),
      JSON.stringify({ v: 1, from: 'x', kind: 'ask', name: 'say' }),
      JSON.stringify({ v: 1, from: 'x', kind: 'answer', id: 'x' }),
      JSON.stringify({ v: 1, from: 'x', kind: 'probe' }),
    ];
    for (const text of texts) await server.command('PUBLISH', `{${prefix}}:control`, text);
    await tellUntilHeard(second, first, 5);
    expect(heard).toEqual([{ n: 5 }]);
  });

  test('no more rights are needed than OPERATIONS.md names', async () => {
    const rights = documentedRights();
    expect(rights.length).toBeGreaterThan(20);
    const answer = await server.addUser(`{${prefix}}:*`, rights);
    expect(answer).toContain('+OK');
    const url = server.url.replace('redis://', 'redis://node:secret@');
    const [first, second] = [await open({ url }), await open({ url })];
    await tellUntilHeard(first, second, 1);
    second.onAsked(ASK, () => ({ n: 2 }));
    expect(await first.ask(second.nodeId, ASK, null)).toEqual({ n: 2 });

    const connection = await RedisConnection.open({ url, prefix });
    ends.push(() => connection.close());
    const tickets = new RedisTickets(connection);
    const ticket = (await tickets.issue({ userName: 'ann' }, '/a')) ?? '';
    expect(await tickets.look(ticket, '/a')).toEqual({ userName: 'ann' });
    expect(await tickets.redeem(ticket, '/a')).toEqual({ userName: 'ann' });
    const revocations = await RedisRevocations.open({ connection, cluster: first, keptMs: 60_000, faults: reporter() });
    ends.push(() => revocations.close());
    await revocations.add({ tokenId: 't1' });
    await second.close();
    expect(await first.nodes()).toHaveLength(1);
    expect(errors).toEqual([]);
  });

  test('a user who may not hear the channels is told so at the start', async () => {
    await server.command('ACL', 'SETUSER', 'deaf', 'reset', 'on', '>secret', '~*', 'resetchannels', '+@all');
    const opening = open({ url: server.url.replace('redis://', 'redis://deaf:secret@') }, { openDeadlineMs: 500 });
    await expect(opening).rejects.toThrow('its user needs the right to publish and to subscribe');
  });
});
