import { Controller, Get } from '@nestjs/common';
import { HealthCheck, type HealthCheckResult, HealthCheckService, TerminusModule } from '@nestjs/terminus';
import { describe, expect, test } from '@jest/globals';
import { ALARM_LOG, type AlarmLog, type PushModuleOptions } from '../../src/index.js';
import { PushHealthIndicator } from '../../src/terminus.js';
import { startNode, type TestNode } from '../app/node.fixture.js';
import { untilAsync, within } from '../support/deadline.js';
import { describeWithRedis, RedisServer } from '../support/redis.server.js';
import { gatewayOn, PLATFORMS, type TestGateway } from '../support/gateway.fixture.js';

/** The log says that it cannot take alarms, as after a write that failed. */
function breakLog(app: { get(token: symbol, options: { strict: false }): AlarmLog }): { mend(): void } {
  const log = app.get(ALARM_LOG, { strict: false });
  Object.defineProperty(log, 'fault', { value: 'no space left', configurable: true });
  return { mend: () => void Reflect.deleteProperty(log, 'fault') };
}

describe('GET /health/ready', () => {
  const READY = {
    status: 'ok',
    phase: 'serving',
    alarmLog: { durable: false },
    eventLoop: { p99Ms: expect.any(Number), maxMs: expect.any(Number) },
  };

  test('says how the node is', async () => {
    const node = await startNode();
    expect(await node.send('/health/ready')).toMatchObject({ status: 200 });
    expect((await node.send('/health/ready')).body).toEqual(READY);
  });

  test('is red while the log cannot take alarms, and green again by itself', async () => {
    const node = await startNode();
    const { mend } = breakLog(node.app);
    const alarmLog = { durable: false, fault: 'no space left' };
    expect(await node.send('/health/ready')).toMatchObject({
      status: 503,
      body: { status: 'unavailable', phase: 'serving', alarmLog },
    });
    expect((await node.send('/health/live')).status).toBe(200);
    mend();
    expect((await node.send('/health/ready')).status).toBe(200);
  });

  test.each(['redis', 'none'])('with PUSH_READINESS_CHECKS=%s tells of the fault and stays green', async (checks) => {
    const node = await startNode({ PUSH_READINESS_CHECKS: checks });
    breakLog(node.app);
    expect(await node.send('/health/ready')).toMatchObject({
      status: 200,
      body: { status: 'ok', alarmLog: { fault: 'no space left' } },
    });
  });

  test('is red first when the node shuts down, while pushes are taken for the delay', async () => {
    const node = await startNode({ PUSH_DRAIN_DELAY_MS: '700' });
    const datum = { businessType: 'meter' };
    const statuses = async (): Promise<[number, number, number]> => [
      (await node.send('/health/ready')).status,
      (await node.post('/push/raw-data', datum)).status,
      (await node.post('/push/alarms', { businessId: '1' })).status,
    ];
    expect(await statuses()).toEqual([200, 202, 201]);
    const closing = node.app.close();
    expect(await statuses()).toEqual([503, 202, 201]);
    expect((await node.send('/health/ready')).body).toMatchObject({ status: 'unavailable', phase: 'leaving' });
    await within(closing, 'the node closes');
  });
});

async function ask(gateway: TestGateway, path = '/health'): Promise<{ status: number; body: HealthCheckResult }> {
  const response = await within(fetch(gateway.url(path, 'http')), 'an answer');
  return { status: response.status, body: (await response.json()) as HealthCheckResult };
}

const statusOf = async (node: TestNode) => (await node.send('/health/ready')).status;

describeWithRedis('GET /health/ready with Redis', () => {
  test('is red within 10 s of the loss of Redis, and green within 10 s of its return', async () => {
    const redis = await RedisServer.start();
    const checked = await startNode({ PUSH_REDIS_URL: redis.url });
    const unchecked = await startNode({ PUSH_REDIS_URL: redis.url, PUSH_READINESS_CHECKS: 'none' });
    expect((await checked.send('/health/ready')).body).toMatchObject({ status: 'ok', redis: {} });
    await redis.kill();
    await untilAsync(async () => (await statusOf(checked)) === 503, 'it is red', 10_000);
    const { status, body } = await unchecked.send('/health/ready');
    expect([status, body]).toMatchObject([200, { status: 'ok', redis: { fault: expect.any(String) } }]);
    await redis.restart();
    await untilAsync(async () => (await statusOf(checked)) === 200, 'it is green', 10_000);
    await Promise.all([checked, unchecked].map((node) => node.close()));
    await redis.kill();
  }, 60_000);
});

describe.each(PLATFORMS)('PushHealthIndicator on %s', (platform) => {
  @Controller('health')
  class HealthController {
    constructor(
      private readonly health: HealthCheckService,
      private readonly push: PushHealthIndicator,
    ) {}

    @Get()
    @HealthCheck()
    check(): Promise<HealthCheckResult> {
      return this.health.check([() => this.push.isHealthy()]);
    }

    @Get('named')
    named(): Promise<HealthCheckResult> {
      return this.health.check([() => this.push.isHealthy('gateway')]);
    }
  }

  const start = (options: PushModuleOptions = {}) =>
    gatewayOn(platform)
      .withOptions(options)
      .withImports(TerminusModule.forRoot({ logger: false }))
      .withProviders(PushHealthIndicator)
      .withControllers(HealthController)
      .start();

  test('is up while the node is ready', async () => {
    const gateway = await start();
    expect(await ask(gateway)).toMatchObject({
      status: 200,
      body: {
        status: 'ok',
        info: { push: { status: 'up', phase: 'serving', alarmLog: { durable: false }, eventLoop: {} } },
      },
    });
    expect((await ask(gateway, '/health/named')).body.details).toMatchObject({ gateway: { status: 'up' } });
  });

  test('is down while what readiness checks is at fault, and up again by itself', async () => {
    const gateway = await start();
    const { mend } = breakLog(gateway.app);
    expect(await ask(gateway)).toMatchObject({
      status: 503,
      body: { status: 'error', error: { push: { status: 'down', alarmLog: { fault: 'no space left' } } } },
    });
    mend();
    expect((await ask(gateway)).status).toBe(200);
  });

  test('is degraded while something else is at fault', async () => {
    const gateway = await start({ readinessChecks: [] });
    breakLog(gateway.app);
    expect(await ask(gateway)).toMatchObject({
      status: 200,
      body: { status: 'degraded', details: { push: { status: 'degraded', alarmLog: { fault: 'no space left' } } } },
    });
  });

  test('is down from the moment that the node leaves', async () => {
    const gateway = await start({ drainDelayMs: 500 });
    const closing = gateway.app.close();
    const { status, body } = await ask(gateway);
    await within(closing, 'the application closes');
    expect([status, body.details['push']]).toMatchObject([503, { status: 'down', phase: 'leaving' }]);
  });
});
