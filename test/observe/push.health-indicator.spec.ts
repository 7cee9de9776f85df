import { HealthIndicatorService } from '@nestjs/terminus';
import { expect, test } from '@jest/globals';
import { NodeHealth } from '../../src/observe/node.health.js';
import { PushHealthIndicator } from '../../src/terminus.js';

const health = new NodeHealth({
  state: { phase: 'serving' },
  alarmLog: { isDurable: true, fault: 'no space left' },
  bus: { fault: undefined },
  cluster: { fault: undefined },
  loop: { delays: { p99Ms: 1, maxMs: 2 } },
  readinessChecks: [],
  isOnRedis: false,
});

/** @nestjs/terminus 11 has no word for what is degraded. */
const older = {
  check: (key: string) => ({ up: (report: object) => ({ [key]: { status: 'up', ...report } }) }),
} as unknown as HealthIndicatorService;

test('what is at fault without making the node not ready is degraded', () => {
  const indicator = new PushHealthIndicator(new HealthIndicatorService(), health);
  expect(indicator.isHealthy()).toMatchObject({ push: { status: 'degraded', alarmLog: { fault: 'no space left' } } });
});

test('it is up where terminus knows nothing between up and down', () => {
  const indicator = new PushHealthIndicator(older, health);
  expect(indicator.isHealthy()).toMatchObject({ push: { status: 'up', alarmLog: { fault: 'no space left' } } });
});
