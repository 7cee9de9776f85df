import { afterEach, beforeEach, expect, test } from '@jest/globals';
import {
  AlarmNotAcceptedError,
  Authenticator,
  type Handshake,
  type Principal,
  PushConfigurationError,
  type PushModuleOptions,
} from '../../src/index.js';
import { until, within } from '../support/deadline.js';
import { gatewayOn, type TestGateway } from '../support/gateway.fixture.js';
import { connect, hear, next, numbers, push, pushUntilAccepted, RETURN_MS } from '../support/alarm.listener.js';
import type { PushClient } from '../support/push.client.js';
import { describeWithRedis, RedisServer } from '../support/redis.server.js';

class QueryAuthenticator extends Authenticator {
  authenticate({ query }: Handshake): Principal {
    return { userName: query.get('as') ?? '', orgId: '*' };
  }
}

const acknowledge = (client: PushClient, id: string) => client.send(JSON.stringify({ event: 'ack', data: { id } }));

const sorted = (heard: readonly unknown[]) => heard.toSorted((one, other) => Number(one) - Number(other));

/** Waits until the only subscription is stored at this cursor. */
async function storedAt(node: TestGateway, id: string): Promise<void> {
  let isStored = false;
  const look = async () => {
    isStored = (await node.alarms.subscriptions()).map(({ cursor }) => cursor).join() === id;
  };
  await until(() => {
    void look();
    return isStored;
  }, `stored at ${id}`);
}

describeWithRedis('alarms of two nodes on one Redis', () => {
  let redis: RedisServer;
  let a: TestGateway;
  let b: TestGateway;

  const startNode = (options: PushModuleOptions = {}) =>
    gatewayOn('express')
      .withOptions({ redisUrl: redis.url, authenticator: new QueryAuthenticator(), ...options })
      .start();

  beforeEach(async () => {
    // With `everysec` what was accepted may be in no file yet when Redis is killed, where the disk is slow.
    redis = await RedisServer.start({ settings: { appendfsync: 'always' } });
    [a, b] = await Promise.all([startNode(), startNode()]);
  });

  afterEach(async () => {
    await Promise.all([a.close(), b.close()]);
    await redis.stop();
  });

  test('reach the clients of both, in one order, each once', async () => {
    const plain = await b.connect('/ws/alarm');
    const clients = await Promise.all([a, b, a, b].map(async (node) => (await connect(node)).client));
    await Promise.all(numbers(1, 200).map((n) => push(n % 3 === 0 ? a : b, n)));
    const orders = await Promise.all(clients.map(async (client) => (await hear(client, 200)).heard));
    expect(sorted(orders[0] ?? [])).toEqual(numbers(1, 200));
    for (const order of orders) expect(order).toEqual(orders[0]);
    const texts: unknown[] = [];
    while (texts.length < 200) texts.push((JSON.parse(await plain.next()) as { n: number }).n);
    expect(texts).toEqual(orders[0]);
  });

  test('follow a client from one node to the other', async () => {
    const { client: before } = await connect(a);
    for (const n of numbers(1, 5)) await push(a, n);
    let { id } = await hear(before, 3);
    await before.cut();
    for (const n of numbers(6, 8)) await push(b, n);
    const found: unknown[] = [];
    for (const node of [b, a, b, a, b]) {
      const { client, ready } = await connect(node, `?lastEventId=${id}`);
      expect(ready.data).toMatchObject({ cursor: id, resumed: true });
      const { heard, id: reached } = await hear(client, 1);
      found.push(...heard);
      id = reached;
      await client.cut();
    }
    expect(found).toEqual([4, 5, 6, 7, 8]);
  });

  test('follow a client also where the other node has not heard of them yet', async () => {
    const { client } = await connect(a);
    for (const n of numbers(1, 50)) {
      await push(a, n);
      const { id } = await hear(client, 1);
      const moved = await connect(b, `?lastEventId=${id}`);
      expect(moved.ready.data).toMatchObject({ cursor: id, resumed: true });
      await moved.client.cut();
    }
  });

  test('of a durable subscription go to whichever node it is opened on', async () => {
    const { client: older } = await connect(a, '?as=ann&durable=phone');
    for (const n of numbers(1, 3)) await push(b, n);
    const { id } = await hear(older, 3);
    acknowledge(older, id);
    await storedAt(b, id);
    const { client: newer, ready } = await connect(b, '?as=ann&durable=phone');
    expect(ready.data).toMatchObject({ cursor: id, resumed: true });
    await push(a, 4);
    const { id: reached } = await hear(newer, 1);
    if (older.socket.readyState === 1) acknowledge(older, reached);
    expect(await within(older.closed, 'the older one is closed')).toMatchObject({ code: 4409 });
    acknowledge(newer, reached);
    await storedAt(a, reached);
    await push(b, 5);
    expect((await hear(newer, 1)).heard).toEqual([5]);
  });

  test('are all there after kill -9 of Redis, and none is accepted meanwhile', async () => {
    const clients = [(await connect(a)).client, (await connect(b)).client];
    for (const n of numbers(1, 20)) await push(n % 2 === 0 ? a : b, n);
    await redis.kill();
    const retried = [pushUntilAccepted(a, 21), pushUntilAccepted(b, 22)];
    await expect(push(a, 23)).rejects.toBeInstanceOf(AlarmNotAcceptedError);
    await redis.restart();
    const outcomes = await within(Promise.all(retried), 'they are accepted', RETURN_MS);
    expect(outcomes.every((each) => each.length > 0)).toBe(true);
    for (const n of numbers(23, 30)) await pushUntilAccepted(n % 2 === 0 ? a : b, n);
    for (const client of clients) {
      const { heard } = await hear(client, 30);
      expect(sorted(heard)).toEqual(numbers(1, 30));
      expect(heard.slice(0, 20)).toEqual(numbers(1, 20));
    }
  });

  test('that FLUSHALL has taken are told as a gap, on both nodes and both wires', async () => {
    const clients = [(await connect(a)).client, (await connect(b)).client];
    const plain = [await a.connect('/ws/alarm'), await b.connect('/ws/alarm')];
    for (const n of numbers(1, 3)) await push(a, n);
    const ids = await Promise.all(clients.map(async (client) => (await hear(client, 3)).id));
    await redis.command('FLUSHALL');
    for (const [index, client] of clients.entries()) {
      const oldest = expect.stringMatching(/\.1$/);
      expect((await next(client, 'gap')).data).toEqual({ requested: ids[index], oldest, reason: 'epoch' });
    }
    for (const { closed } of plain) expect(await within(closed, 'it is closed')).toMatchObject({ code: 4410 });
    for (const n of numbers(4, 6)) await push(b, n);
    for (const client of clients) expect((await hear(client, 3)).heard).toEqual([4, 5, 6]);
  });

  test('that FLUSHALL has taken are told to a durable subscription, which goes on', async () => {
    const { client } = await connect(b, '?as=ann&durable=phone');
    await push(a, 1);
    const { id } = await hear(client, 1);
    acknowledge(client, id);
    await storedAt(a, id);
    await redis.command('FLUSHALL');
    expect((await next(client, 'gap')).data).toMatchObject({ requested: id, reason: 'epoch' });
    // Known again, although nothing of the new epoch is acknowledged yet.
    await storedAt(a, id);
    for (const n of numbers(2, 4)) await push(a, n);
    const { id: reached } = await hear(client, 2);
    acknowledge(client, reached);
    await storedAt(a, reached);
    await client.close();
    const again = await connect(a, '?as=ann&durable=phone');
    expect(again.ready.data).toMatchObject({ cursor: reached, resumed: true });
    expect((await hear(again.client, 1)).heard).toEqual([4]);
  });

  test('that an earlier append-only file does not have are told as a gap; what it has comes again', async () => {
    const { client } = await connect(a);
    for (const n of numbers(1, 2)) await push(a, n);
    redis.backUp();
    for (const n of numbers(3, 4)) await push(a, n);
    const { id } = await hear(client, 4);
    await redis.kill();
    redis.goBack();
    await redis.restart();
    expect((await next(client, 'gap')).data).toMatchObject({ requested: id, reason: 'epoch' });
    await pushUntilAccepted(b, 5);
    expect((await hear(client, 3)).heard).toEqual([1, 2, 5]);
  });

  test('that somebody has removed from Redis are told as a gap', async () => {
    const { client } = await connect(a);
    for (const n of numbers(1, 300)) await push(b, n);
    const { id } = await hear(client, 300);
    await redis.command('XDEL', '{push}:alarms', '250-0');
    const late = await connect(await startNode(), '?replay=all');
    expect((await hear(late.client, 249)).heard).toEqual(numbers(1, 249));
    expect((await next(late.client, 'gap')).data).toMatchObject({ reason: 'retention' });
    expect(await hear(late.client, 50)).toEqual({ heard: numbers(251, 300), id });
  });

  test('a node starts without Redis’ promise, and not where it is required', async () => {
    await Promise.all([a.close(), b.close()]);
    await redis.stop();
    redis = await RedisServer.start({ settings: { appendonly: 'no' } });
    await startNode();
    const refused: unknown = await startNode({ requireDurableRedis: true }).catch((cause: unknown) => cause);
    expect(refused).toBeInstanceOf(PushConfigurationError);
    expect(String(refused)).toContain('appendonly yes');
  });

  test.each(['is away', 'does not answer'])(
    'a node ends in time although Redis %s',
    async (trouble) => {
      const { client } = await connect(a, '?as=ann&durable=phone');
      if (trouble === 'is away') await redis.kill();
      else redis.signal('SIGSTOP');
      await within(a.close(), 'it ends', RETURN_MS);
      expect(await client.closed).toMatchObject({ code: 1012 });
      redis.signal('SIGCONT');
    },
    20_000,
  );
});
