import { afterEach, beforeEach, expect, test } from '@jest/globals';
import { RedisAlarmLog, RedisConnection, RedisSubscriptionStore } from '../../src/redis.js';
import { gatewayOn } from '../support/gateway.fixture.js';
import { describeWithRedis, RedisServer } from '../support/redis.server.js';

const RETENTION = { count: 100_000, hours: 168, bytes: 1024 ** 3 };

describeWithRedis('a process beside the nodes', () => {
  let redis: RedisServer;
  let connection: RedisConnection;
  let log: RedisAlarmLog;

  beforeEach(async () => {
    redis = await RedisServer.start();
    connection = await RedisConnection.open({ url: redis.url, prefix: 'push' });
    log = await RedisAlarmLog.open({ connection, retention: RETENTION });
  });

  afterEach(async () => {
    await log.close();
    connection.close();
  });

  const startNode = () => gatewayOn('express').withOptions({ redisUrl: redis.url }).start();

  test('reads the alarms that nodes pushed, and how far the subscriptions are', async () => {
    const node = await startNode();
    await node.push.pushAlarms([{ businessId: 'm-7', severity: 700 }, { businessId: 'm-8' }]);
    const entries = await log.read(0, 100);
    expect(entries.map(({ json }) => JSON.parse(json) as unknown)).toEqual([
      { businessId: 'm-7', severity: 700 },
      { businessId: 'm-8' },
    ]);
    const client = await node.connectPushV1('/ws/alarm?durable=phone');
    expect(client.ready.resumed).toBe(false);
    const subscriptions = new RedisSubscriptionStore(connection, { perUser: 16, total: 1000 });
    expect(await subscriptions.list()).toMatchObject([{ name: 'phone', cursor: { offset: 2 } }]);
  });

  test('appends alarms that the clients of the nodes get', async () => {
    const node = await startNode();
    const client = await node.connectPushV1('/ws/alarm');
    const alarm = { businessId: 'm-7', severity: 700 };
    const { businessId, severity } = alarm;
    const fields = {
      businessId,
      severity,
      businessType: undefined,
      orgId: undefined,
      conditionId: undefined,
      active: undefined,
    };
    await log.append([{ json: JSON.stringify(alarm), fields, eventId: undefined }]);
    expect((await client.nextEvent('alarm')).data).toEqual(alarm);
  });
});
