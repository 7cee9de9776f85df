import { afterEach, beforeEach, expect, test } from '@jest/globals';
import { ClusterService, NodeHealth } from '../../src/index.js';
import { connect, hear, next, numbers, push, pushUntilAccepted, RETURN_MS } from '../support/alarm.listener.js';
import { until, untilAsync, within } from '../support/deadline.js';
import { gatewayOn, type TestGateway } from '../support/gateway.fixture.js';
import type { PushClient } from '../support/push.client.js';
import { RedisProxy } from '../support/redis.proxy.js';
import { describeWithRedis, RedisServer } from '../support/redis.server.js';

const PATH = '/ws/rowdata/dev/1/ann';

const faultsOf = (node: TestGateway): unknown[] => {
  const { alarmLog, redis } = node.app.get(NodeHealth).report();
  return [alarmLog.fault, redis?.fault];
};

/** An address behind which a replica takes the place of its primary, as hosted ones have it. */
describeWithRedis('two nodes whose Redis fails over', () => {
  let primary: RedisServer;
  let replica: RedisServer;
  let address: RedisProxy;
  let a: TestGateway;
  let b: TestGateway;

  const startNode = () => gatewayOn('express').withOptions({ redisUrl: address.url }).start();

  beforeEach(async () => {
    [primary, replica] = await Promise.all([RedisServer.start(), RedisServer.start()]);
    await replica.replicate(primary);
    address = await RedisProxy.start(primary.port);
    [a, b] = await Promise.all([startNode(), startNode()]);
  });

  afterEach(async () => {
    await Promise.all([a.close(), b.close()]);
    address.stop();
    await Promise.all([primary.stop(), replica.stop()]);
  });

  const areWell = () =>
    until(() => [a, b].flatMap(faultsOf).every((fault) => fault === undefined), 'all is well', RETURN_MS);

  /** What is pushed on each reaches the clients of both, and each is answered by the other. */
  async function expectTogether(clients: readonly PushClient[]): Promise<void> {
    for (const [value, node] of [a, b].entries()) {
      const datum = { businessType: 'dev', businessId: '1', value };
      node.push.pushRawData(datum);
      for (const client of clients) expect(JSON.parse(await client.next())).toEqual(datum);
      const page = await node.app.get(ClusterService).clients();
      expect(page).toMatchObject({ unanswered: [] });
      expect(page.clients).toHaveLength(4);
    }
  }

  const connectAll = async () => ({
    rawData: [await a.connect(PATH), await b.connect(PATH)],
    alarms: [(await connect(a)).client, (await connect(b)).client],
  });

  test('tell what the replica had not got as a gap, and go on there', async () => {
    const { rawData, alarms } = await connectAll();
    for (const n of numbers(1, 5)) await push(a, n);
    await replica.catchUp(primary);
    await replica.promote();
    for (const n of numbers(6, 8)) await push(b, n);
    const ids = await Promise.all(alarms.map(async (client) => (await hear(client, 8)).id));
    await primary.kill();
    await expect(push(a, 9)).rejects.toMatchObject({ code: 'alarmNotAccepted' });
    address.lead(replica.port);
    for (const [index, client] of alarms.entries()) {
      expect((await next(client, 'gap')).data).toMatchObject({ requested: ids[index], reason: 'epoch' });
    }
    await pushUntilAccepted(b, 9);
    for (const client of alarms) expect((await hear(client, 6)).heard).toEqual([1, 2, 3, 4, 5, 9]);
    await areWell();
    await expectTogether(rawData);
  }, 60_000);

  test.each<[string, (proxy: RedisProxy) => unknown]>([
    ['all their connections', () => {}],
    ['all but those for commands', (proxy) => proxy.cut('push-gateway-commands')],
  ])(
    'leave a primary that became a replica and keeps %s',
    async (_, cut) => {
      const { rawData, alarms } = await connectAll();
      await expectTogether(rawData);
      for (const n of numbers(1, 5)) await push(a, n);
      await replica.catchUp(primary);
      await replica.promote();
      await primary.replicate(replica);
      address.lead(replica.port);
      cut(address);
      const outcomes = await within(pushUntilAccepted(b, 6), 'an alarm is accepted', RETURN_MS);
      expect(outcomes).not.toEqual([]);
      await pushUntilAccepted(a, 7);
      for (const client of alarms) expect((await hear(client, 7)).heard).toEqual(numbers(1, 7));
      await areWell();
      const isLeft = async () => !(await primary.command('CLIENT', 'LIST')).includes('push-gateway');
      await untilAsync(isLeft, 'no connection to the replica is left', RETURN_MS);
      await expectTogether(rawData);
    },
    60_000,
  );

  test('take nothing for well while the address leads to a replica', async () => {
    const { rawData, alarms } = await connectAll();
    for (const n of numbers(1, 5)) await push(a, n);
    await replica.catchUp(primary);
    await replica.promote();
    await primary.replicate(replica);
    const connectionCount = address.connectionCount;
    address.cut();
    // Four of each node, and then again and again.
    await until(() => address.connectionCount >= connectionCount + 24, 'they have come to the replica', RETURN_MS);
    expect([a, b].flatMap(faultsOf)).not.toContain(undefined);
    await expect(push(a, 6)).rejects.toMatchObject({ outcome: 'rejected' });
    address.lead(replica.port);
    await areWell();
    await push(b, 6);
    for (const client of alarms) expect((await hear(client, 6)).heard).toEqual(numbers(1, 6));
    await expectTogether(rawData);
  }, 60_000);
});
