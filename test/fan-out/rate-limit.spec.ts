import { describe, expect, test } from '@jest/globals';
import { KeyedRateLimit, RateLimit } from '../../src/fan-out/rate-limit.js';
import { seeded } from '../support/random.js';

/** How many of so many at these times pass. */
function passed(limit: RateLimit, timesMs: readonly number[]): number {
  let state = 0;
  let count = 0;
  for (const nowMs of timesMs) {
    const next = limit.next(state, nowMs);
    if (next === undefined) continue;
    state = next;
    count += 1;
  }
  return count;
}

const times = (count: number, everyMs: number, startMs = 1000) =>
  Array.from({ length: count }, (_, n) => startMs + n * everyMs);

describe('RateLimit', () => {
  test.each([
    [1, 1],
    [10, 20],
    [100, 200],
    [4, 9],
  ])('%i a second, %i at once', (perSecond, burst) => {
    const limit = new RateLimit(perSecond, burst);
    expect(passed(limit, times(burst * 3, 0))).toBe(burst);
    // After a second of quiet just so many more.
    expect(passed(limit, [...times(burst, 0), ...times(burst * 3, 0, 2000)])).toBe(burst + Math.min(perSecond, burst));
  });

  test('whoever keeps to the rate is never refused', () => {
    expect(passed(new RateLimit(100, 1), times(10_000, 10))).toBe(10_000);
    expect(passed(new RateLimit(100, 200), times(10_000, 10))).toBe(10_000);
  });

  test('whoever is twice as fast is let through at the rate, and after the quiet at once again', () => {
    expect(passed(new RateLimit(100, 200), times(2000, 5))).toBeLessThanOrEqual(1200);
    expect(passed(new RateLimit(100, 200), times(2000, 5))).toBeGreaterThanOrEqual(1198);
  });

  test('what is refused costs nothing', () => {
    const limit = new RateLimit(1, 1);
    expect(passed(limit, [0, ...times(999, 1, 1)])).toBe(1);
    expect(passed(limit, [0, ...times(999, 1, 1), 1000])).toBe(2);
  });

  test('quiet saves up no more than a burst', () => {
    expect(passed(new RateLimit(10, 20), times(1000, 0, 1e9))).toBe(20);
  });

  test(
    'in no window of time do more pass than burst and rate allow',
    seeded((random) => {
      const tooMany: string[] = [];
      for (let round = 0; round < 100; round++) {
        const perSecond = 1 + random.below(50);
        const burst = 1 + random.below(50);
        const limit = new RateLimit(perSecond, burst);
        let nowMs = 0;
        let state = 0;
        const accepted: number[] = [];
        for (let n = 0; n < 300; n++) {
          nowMs += random.chance(0.7) ? 0 : random.below(400);
          const next = limit.next(state, nowMs);
          if (next === undefined) continue;
          state = next;
          accepted.push(nowMs);
        }
        for (let from = 0; from < accepted.length; from++) {
          for (let to = from; to < accepted.length; to++) {
            const spanMs = (accepted[to] ?? 0) - (accepted[from] ?? 0);
            const allowed = burst + Math.floor((spanMs * perSecond) / 1000 + 1e-6);
            if (to - from + 1 > allowed) tooMany.push(`${to - from + 1} within ${spanMs} ms`);
          }
        }
      }
      expect(tooMany).toEqual([]);
    }),
  );
});

describe('KeyedRateLimit', () => {
  test('each source has its own', () => {
    const keyed = new KeyedRateLimit(new RateLimit(1, 2));
    expect(['a', 'a', 'a', 'b', 'b', 'b'].map((key) => keyed.take(key, 1000))).toEqual([
      true,
      true,
      false,
      true,
      true,
      false,
    ]);
    expect(keyed.take('a', 2000)).toBe(true);
  });

  test('sources that are quiet are forgotten, one that is not is not', () => {
    const keyed = new KeyedRateLimit(new RateLimit(1, 1));
    keyed.take('flood', 100_000);
    for (let n = 0; n < 100_000; n++) keyed.take(`s${n}`, n);
    const states = Object.values(keyed).find((part: unknown) => part instanceof Map) as Map<string, number>;
    expect(states.size).toBeLessThan(5000);
    expect(keyed.take('flood', 100_500)).toBe(false);
  });
});
