import { afterEach, beforeEach, expect, jest, test } from '@jest/globals';
import { LoopDelay } from '../../src/observe/loop.delay.js';
import { until } from '../support/deadline.js';

let loop: LoopDelay;

beforeEach(() => {
  jest.useFakeTimers({ doNotFake: ['setImmediate', 'nextTick', 'performance'] });
  loop = new LoopDelay();
});

afterEach(() => {
  loop.onApplicationShutdown();
  jest.useRealTimers();
});

function block(forMs: number): void {
  const endMs = performance.now() + forMs;
  while (performance.now() < endMs);
}

test('nothing is told before it watches', () => {
  expect(loop.delays).toEqual({ p99Ms: 0, maxMs: 0 });
});

test('what holds the event loop up is told, and forgotten after the next interval', async () => {
  loop.onApplicationBootstrap();
  // The histogram counts from its second tick on.
  await until(() => {
    block(150);
    return loop.delays.maxMs >= 120;
  }, 'the delay is told');
  expect(loop.delays.p99Ms).toBeLessThanOrEqual(loop.delays.maxMs);
  jest.advanceTimersByTime(10_000);
  expect(loop.delays.maxMs).toBeGreaterThanOrEqual(120);
  jest.advanceTimersByTime(10_000);
  expect(loop.delays.maxMs).toBeLessThan(120);
});

test('its end leaves no timer', () => {
  loop.onApplicationBootstrap();
  loop.onApplicationShutdown();
  expect(jest.getTimerCount()).toBe(0);
});
