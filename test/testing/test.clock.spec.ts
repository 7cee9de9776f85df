import { expect, test } from '@jest/globals';
import { TestClock } from '../../src/testing/index.js';

test('a clock stands until it is advanced', () => {
  const clock = new TestClock(new Date('2026-01-01T00:00:00Z'));
  const { now } = clock;
  expect(now()).toBe(Date.parse('2026-01-01T00:00:00Z'));
  clock.advance(1500);
  expect(now()).toBe(Date.parse('2026-01-01T00:00:01.5Z'));
});

test('a clock begins with the time of the machine', () => {
  const beforeMs = Date.now();
  expect(new TestClock().now()).toBeGreaterThanOrEqual(beforeMs);
});

test.each([-1, Number.NaN])('a clock cannot be advanced by %d', (ms) => {
  expect(() => new TestClock().advance(ms)).toThrow(RangeError);
});
