import { afterEach, beforeEach, expect, jest, test } from '@jest/globals';
import { Logger } from '@nestjs/common';
import { seeded } from '../support/random.js';
import { AlarmFeedModel, newTally } from './alarm-feed.model.js';

const RUNS = 2000;

const clock = {
  advance: (ms: number) => jest.advanceTimersByTime(ms),
  timerCount: () => jest.getTimerCount(),
};

beforeEach(() => {
  jest.useFakeTimers({ doNotFake: ['setImmediate', 'clearImmediate', 'nextTick', 'queueMicrotask', 'performance'] });
  Logger.overrideLogger(false);
});

afterEach(() => {
  jest.useRealTimers();
  Logger.overrideLogger(['log', 'error', 'warn', 'debug', 'verbose', 'fatal']);
});

test(
  'every alarm arrives once and in order, or lies in a gap that was told, whatever clients, retention and the log do',
  seeded(async (random) => {
    const tally = newTally();
    for (let run = 0; run < RUNS; run++) await new AlarmFeedModel(random, clock, tally).run();
    expect(tally.delivered).toBeGreaterThan(20 * RUNS);
    for (const count of Object.values(tally)) expect(count).toBeGreaterThan(RUNS / 10);
  }),
  120_000,
);
