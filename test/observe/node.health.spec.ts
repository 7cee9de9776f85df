import { describe, expect, test } from '@jest/globals';
import { type HealthSources, NodeHealth } from '../../src/observe/node.health.js';
import type { NodePhase } from '../../src/push.types.js';

interface Given {
  readonly phase?: NodePhase;
  readonly logFault?: string;
  readonly busFault?: string;
  readonly clusterFault?: string;
  readonly readinessChecks?: HealthSources['readinessChecks'];
  readonly isOnRedis?: boolean;
}

function healthWith({
  phase = 'serving',
  logFault,
  busFault,
  clusterFault,
  readinessChecks = ['alarmLog', 'redis'],
  isOnRedis = true,
}: Given): NodeHealth {
  return new NodeHealth({
    state: { phase },
    alarmLog: { isDurable: true, fault: logFault },
    bus: { fault: busFault },
    cluster: { fault: clusterFault },
    loop: { delays: { p99Ms: 1.5, maxMs: 7 } },
    readinessChecks,
    isOnRedis,
  });
}

test.each<[NodePhase, boolean]>([
  ['starting', false],
  ['serving', true],
  ['leaving', false],
  ['draining', false],
])('a node that is %s is ready: %s', (phase, isReady) => {
  expect(healthWith({ phase }).report()).toMatchObject({ isReady, phase });
});

describe('faults', () => {
  test.each([
    [['alarmLog', 'redis'], 'alarmLog', false],
    [['alarmLog', 'redis'], 'redis', false],
    [['alarmLog'], 'redis', true],
    [['redis'], 'alarmLog', true],
    [[], 'alarmLog', true],
    [[], 'redis', true],
    [['redis'], 'cluster', false],
    [['alarmLog'], 'cluster', true],
  ] as const)('with the checks %j and a fault of %s, ready: %s', (readinessChecks, at, isReady) => {
    const fault = {
      alarmLog: { logFault: 'disk full' },
      redis: { busFault: 'gone' },
      cluster: { clusterFault: 'gone' },
    }[at];
    const health = healthWith({ readinessChecks, ...fault });
    expect([health.isReady, health.hasFault]).toEqual([isReady, true]);
  });

  test('come and go by themselves', () => {
    const bus: { fault: string | undefined } = { fault: 'gone' };
    const health = new NodeHealth({
      state: { phase: 'serving' },
      alarmLog: { isDurable: false, fault: undefined },
      bus,
      cluster: { fault: undefined },
      loop: { delays: { p99Ms: 0, maxMs: 0 } },
      readinessChecks: ['redis'],
      isOnRedis: true,
    });
    expect(health.isReady).toBe(false);
    bus.fault = undefined;
    expect(health.isReady).toBe(true);
    expect(health.hasFault).toBe(false);
  });
});

test('the report says what is at fault, and how long the event loop was held up', () => {
  expect(healthWith({ logFault: 'disk full', busFault: 'gone' }).report()).toEqual({
    isReady: false,
    phase: 'serving',
    alarmLog: { durable: true, fault: 'disk full' },
    redis: { fault: 'gone' },
    eventLoop: { p99Ms: 1.5, maxMs: 7 },
  });
});

test('without Redis there is nothing to say of it', () => {
  expect(healthWith({ isOnRedis: false }).report().redis).toBeUndefined();
});
