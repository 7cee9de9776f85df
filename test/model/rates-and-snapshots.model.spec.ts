import { afterEach, beforeEach, expect, jest, test } from '@jest/globals';
import { Logger } from '@nestjs/common';
import { seeded } from '../support/random.js';
import { newTally, RatesAndSnapshotsModel } from './rates-and-snapshots.model.js';

const RUNS = 2000;

const clock = {
  advance: (ms: number) => jest.advanceTimersByTime(ms),
  timerCount: () => jest.getTimerCount(),
};

beforeEach(() => {
  jest.useFakeTimers({ doNotFake: ['setImmediate', 'clearImmediate'] });
  Logger.overrideLogger(false);
});

afterEach(() => {
  jest.useRealTimers();
  Logger.overrideLogger(['log', 'error', 'warn', 'debug', 'verbose', 'fatal']);
});

test(
  'rates, snapshots, changing subscriptions and slow clients together do what a naive model of them does',
  seeded((random) => {
    const tally = newTally();
    for (let run = 0; run < RUNS; run++) new RatesAndSnapshotsModel(random, clock, tally).run();
    expect(tally.delivered).toBeGreaterThan(20 * RUNS);
    for (const count of Object.values(tally)) expect(count).toBeGreaterThan(RUNS / 10);
  }),
  60_000,
);
