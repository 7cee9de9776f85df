import { beforeEach, expect, test } from '@jest/globals';
import { type RawDataBus, RAW_DATA_BUS } from '../../src/bus/bus.js';
import { until } from '../support/deadline.js';
import { gatewayOn, type TestGateway } from '../support/gateway.fixture.js';
import { PushClient } from '../support/push.client.js';
import { describeWithRedis, RedisServer } from '../support/redis.server.js';

const RAW_DATA = '/ws/rowdata/dev/1/ann';
const ALARMS = '/ws/alarm';
/** How soon a lost Redis is found, and one that is back is heard again. */
const FOUND_WITHIN_MS = 10_000;

const degraded = (active: boolean) => ({ event: 'degraded', data: { active } });

describeWithRedis('a node that does not hear the others', () => {
  let redis: RedisServer;
  let gateway: TestGateway;

  beforeEach(async () => {
    redis = await RedisServer.start();
    gateway = await gatewayOn('express').withOptions({ redisUrl: redis.url }).start();
  });

  const fault = () => gateway.app.get<RawDataBus>(RAW_DATA_BUS).fault;

  test('tells its two-way clients of both gateways, those that come meanwhile, and all when it is over', async () => {
    const rawData = await gateway.connectPushV1(RAW_DATA);
    const alarms = await gateway.connectPushV1(ALARMS);
    const plain = await gateway.connect(RAW_DATA);
    await redis.kill();
    expect(await rawData.nextMessage(FOUND_WITHIN_MS)).toEqual(degraded(true));
    expect(await alarms.nextMessage(FOUND_WITHIN_MS)).toEqual(degraded(true));

    const late = await gateway.connectPushV1(RAW_DATA);
    expect(await late.nextMessage()).toEqual(degraded(true));
    const pushed = { businessType: 'dev', businessId: '1', value: 1 };
    expect(gateway.push.pushRawData(pushed).matched).toBe(3);
    expect(await late.nextEvent('rawData')).toMatchObject({ data: { value: 1 } });
    expect(JSON.parse(await plain.next())).toEqual(pushed);

    await redis.restart();
    expect(await alarms.nextMessage(FOUND_WITHIN_MS)).toEqual(degraded(false));
    expect(await late.nextMessage(FOUND_WITHIN_MS)).toEqual(degraded(false));
    expect(await rawData.nextEvent('rawData')).toMatchObject({ data: { value: 1 } });
    expect(await rawData.nextMessage()).toEqual(degraded(false));
    const afterwards = await gateway.connectPushV1(RAW_DATA);
    expect(await gateway.heardBy({ afterwards, plain })).toEqual({ afterwards: [], plain: [] });
  }, 60_000);

  test('sends its own clients everything that is pushed on it, also while Redis is silent', async () => {
    const client = await gateway.connect(RAW_DATA);
    redis.signal('SIGSTOP');
    const values = Array.from({ length: 1000 }, (_, value) => value);
    for (const value of values) gateway.push.pushRawData({ businessType: 'dev', businessId: '1', value });
    const heard = (await gateway.heardBy({ client })).client.map((text) => JSON.parse(text) as { value: number });
    redis.signal('SIGCONT');
    expect(heard.map(({ value }) => value)).toEqual(values);
  });

  test('goes on without a word where there is one node only', async () => {
    const alone = await gatewayOn('express').start();
    const client = await alone.connectPushV1(RAW_DATA);
    expect(alone.app.get<RawDataBus>(RAW_DATA_BUS).fault).toBeUndefined();
    expect((await alone.heardBy({ client })).client).toEqual([]);
  });

  test('stops and starts while Redis is away', async () => {
    await redis.kill();
    await until(() => fault() !== undefined, 'a fault', FOUND_WITHIN_MS);
    const client = await PushClient.connect(gateway.url(RAW_DATA));
    await gateway.close();
    expect((await client.closed).code).toBe(1012);
  }, 60_000);
});
