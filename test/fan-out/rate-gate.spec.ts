import { afterEach, describe, expect, jest, test } from '@jest/globals';
import type { Frame } from '../../src/fan-out/frame.js';
import { conflationKey } from '../../src/fan-out/key.js';
import { RateClock, RateGate } from '../../src/fan-out/rate-gate.js';
import { processorMsOf } from '../support/processor.time.js';
import { Random, seeded } from '../support/random.js';
import { datumFrame, valuesIn } from './fixtures.js';

/** How far the clock's ticks are apart. */
const TICK_MS = 10;
const KEY_OF_A = conflationKey('dev', '1', 'a');
const KEY_OF_B = conflationKey('dev', '1', 'b');

/** Never ticks: the test releases by hand. */
class StoppedClock extends RateClock {
  override watch(): void {}
}

/** A gate by hand, and what it let through. */
class TestGate {
  private readonly frames: Frame[] = [];
  readonly gate = new RateGate((frame) => this.frames.push(frame), new StoppedClock());

  get passed(): string {
    return valuesIn(this.frames.map(({ plainText }) => plainText)).join(' ');
  }

  get count(): number {
    return this.frames.length;
  }

  offer(series: string, n: number, intervalMs: number, nowMs: number): void {
    this.gate.offer(datumFrame(series, n), intervalMs, nowMs);
  }
}

describe('one series', () => {
  test('the first value passes at once, of what follows the newest when it is due', () => {
    const gate = new TestGate();
    gate.offer('a', 1, 100, 1000);
    expect(gate.passed).toBe('a1');
    gate.offer('a', 2, 100, 1001);
    gate.offer('a', 3, 100, 1099);
    gate.gate.release(1099.9);
    expect(gate.passed).toBe('a1');
    gate.gate.release(1100);
    expect(gate.passed).toBe('a1 a3');
    gate.gate.release(5000);
    expect(gate.passed).toBe('a1 a3');
  });

  test('a value that comes when it is due passes at once, in the place of an older one that waits', () => {
    const gate = new TestGate();
    gate.offer('a', 1, 100, 0);
    gate.offer('a', 2, 100, 50);
    gate.offer('a', 3, 100, 105);
    expect(gate.passed).toBe('a1 a3');
    gate.gate.release(10_000);
    expect(gate.passed).toBe('a1 a3');
  });

  test('after a pause the next value passes at once', () => {
    const gate = new TestGate();
    gate.offer('a', 1, 100, 0);
    gate.gate.release(100);
    gate.offer('a', 2, 100, 100);
    expect(gate.passed).toBe('a1 a2');
  });

  test('a tick that comes late by many intervals does not make up for them in a burst', () => {
    const gate = new TestGate();
    gate.offer('a', 1, 10, 0);
    gate.offer('a', 2, 10, 5);
    gate.gate.release(1000);
    for (let n = 3; n < 100; n++) gate.offer('a', n, 10, 1000 + n / 1000);
    expect(gate.count).toBeLessThanOrEqual(3);
  });

  test('an interval of 0 passes everything, and supersedes what waits', () => {
    const gate = new TestGate();
    gate.offer('a', 1, 100, 0);
    gate.offer('a', 2, 100, 10);
    gate.offer('a', 3, 0, 20);
    gate.offer('a', 4, 0, 21);
    gate.gate.release(1000);
    expect(gate.passed).toBe('a1 a3 a4');
  });

  test('an interval that was changed meanwhile holds from the next value on', () => {
    const gate = new TestGate();
    gate.offer('a', 1, 1000, 0);
    gate.offer('a', 2, 10, 1);
    gate.gate.release(1000);
    gate.offer('a', 3, 10, 1011);
    expect(gate.passed).toBe('a1 a2 a3');
  });
});

describe('a rate that is changed', () => {
  test('holds back what is not due by it, counted from the last value that passed', () => {
    const gate = new TestGate();
    gate.offer('a', 1, 100, 0);
    gate.offer('a', 2, 100, 10);
    gate.gate.repace(() => 500, 60);
    gate.gate.release(499);
    expect(gate.passed).toBe('a1');
    gate.gate.release(500);
    expect(gate.passed).toBe('a1 a2');
  });

  test.each([
    ['a faster one', 100],
    ['none', 0],
  ])('to %s: lets go at once what is due by that, and only that', (_, intervalMs) => {
    const gate = new TestGate();
    for (const series of ['a', 'b']) for (const n of [1, 2]) gate.offer(series, n, 500, n);
    gate.gate.repace((key) => (key === KEY_OF_A ? intervalMs : 500), 280);
    expect(gate.passed).toBe('a1 b1 a2');
    gate.gate.release(501);
    expect(gate.passed).toBe('a1 b1 a2 b2');
  });
});

describe('several series', () => {
  test('each is paced for itself', () => {
    const gate = new TestGate();
    gate.offer('a', 1, 100, 0);
    gate.offer('b', 2, 50, 0);
    gate.offer('a', 3, 100, 10);
    gate.offer('b', 4, 50, 10);
    gate.gate.release(50);
    expect(gate.passed).toBe('a1 b2 b4');
    gate.gate.release(100);
    expect(gate.passed).toBe('a1 b2 b4 a3');
  });

  test('a frame without a series is never held back', () => {
    const gate = new TestGate();
    const personal = datumFrame('x', 1);
    const frame = Object.create(personal, { conflationKey: { value: undefined } }) as Frame;
    for (let n = 0; n < 3; n++) gate.gate.offer(frame, 1000, n);
    expect(gate.count).toBe(3);
    expect(gate.gate.isIdle).toBe(true);
  });

  test('what is not wanted any more is dropped, and only that', () => {
    const gate = new TestGate();
    for (const n of [1, 2]) {
      gate.offer('a', n, 100, n);
      gate.offer('b', n, 100, n);
    }
    gate.gate.repace((key) => (key === KEY_OF_B ? 100 : Infinity), 3);
    gate.gate.release(1000);
    expect(gate.passed).toBe('a1 b1 b2');
    // Wanted again, it begins anew.
    gate.offer('a', 3, 100, 1001);
    expect(gate.passed).toBe('a1 b1 b2 a3');
  });

  test('only of what is paced the rate is asked', () => {
    const gate = new TestGate();
    gate.offer('a', 1, 100, 0);
    gate.offer('b', 1, 0, 0);
    const asked: string[] = [];
    gate.gate.repace((key) => asked.push(key) * 100, 1);
    expect(asked).toEqual([KEY_OF_A]);
  });

  test('clear drops everything', () => {
    const gate = new TestGate();
    gate.offer('a', 1, 100, 0);
    gate.offer('a', 2, 100, 1);
    gate.gate.clear();
    expect(gate.gate.isIdle).toBe(true);
    gate.gate.release(1000);
    expect(gate.passed).toBe('a1');
  });

  test('a quiet series is forgotten', () => {
    const gate = new TestGate();
    gate.offer('a', 1, 100, 0);
    gate.gate.release(99);
    expect(gate.gate.isIdle).toBe(false);
    gate.gate.release(100);
    expect(gate.gate.isIdle).toBe(true);
  });
});

test('a tick costs what is due, and not what is paced', () => {
  const gate = new TestGate();
  const paced = Array.from({ length: 50_000 }, (_, n) => datumFrame(`s${n}`, n));
  for (const frame of paced) gate.gate.offer(frame, 60_000, 0);
  gate.offer('a', 1, 30_000, 0);
  const tick = () => {
    for (let nowMs = 0; nowMs < 50_000; nowMs += TICK_MS) gate.gate.release(nowMs);
  };
  // 250 million steps, and some seconds, if each tick went through all of them.
  expect(processorMsOf(tick)).toBeLessThan(500);
  gate.gate.release(60_000);
  expect(gate.gate.isIdle).toBe(true);
});

/** When a source pushes and when the clock ticks, in the order in which it happens. */
interface Course {
  readonly sourceHz: number;
  readonly maxFrequencyHz: number;
  /** Of the clock's ticks. */
  readonly phaseMs: number;
  /** How late or early each of the source's values comes, at most. */
  readonly jitterMs: number;
}

const DURATION_MS = 10_000;

/** When each value passed, of a source that never rests. */
function passTimes({ sourceHz, maxFrequencyHz, phaseMs, jitterMs }: Course): number[] {
  const random = new Random(1);
  const periodMs = 1000 / sourceHz;
  const events: { atMs: number; isTick: boolean }[] = [];
  for (let n = 0; n * periodMs < DURATION_MS; n++) {
    events.push({ atMs: Math.max(0, n * periodMs + (random.next() * 2 - 1) * jitterMs), isTick: false });
  }
  for (let atMs = phaseMs; atMs < DURATION_MS; atMs += TICK_MS) events.push({ atMs, isTick: true });
  let nowMs = 0;
  const times: number[] = [];
  const gate = new RateGate(() => times.push(nowMs), new StoppedClock());
  const frame = datumFrame('a', 1);
  for (const { atMs, isTick } of events.toSorted((one, other) => one.atMs - other.atMs)) {
    nowMs = atMs;
    if (isTick) gate.release(nowMs);
    else gate.offer(frame, 1000 / maxFrequencyHz, nowMs);
  }
  return times;
}

const SOURCES_HZ = [1, 25, 31, 50, 60, 100, 250, 1000];
const LIMITS_HZ = [0.5, 1, 10, 25, 30, 60, 99, 100];
const courses = SOURCES_HZ.flatMap((sourceHz) =>
  LIMITS_HZ.map((maxFrequencyHz): [number, number] => [sourceHz, maxFrequencyHz]),
);

describe('the rate', () => {
  describe.each(courses)('of a source of %s Hz, limited to %s Hz', (sourceHz, maxFrequencyHz) => {
    const variants = [0, 0.1, 3, 5, 9.9]
      .flatMap((phaseMs) => [0, 0.5].map((jitterMs): Course => ({ sourceHz, maxFrequencyHz, phaseMs, jitterMs })))
      .map((course) => ({ course, times: passTimes(course) }));

    test('is on average not above the limit, in no stretch of time', () => {
      const intervalMs = 1000 / maxFrequencyHz;
      const tooFast = variants.flatMap(({ course, times }) => {
        // One interval of lateness may be made up for.
        const isTooFast = (fromMs: number, from: number) =>
          [1, 2, 10, 100].some(
            (length) => (times[from + length] ?? Infinity) - fromMs < (length - 1) * intervalMs - 0.01,
          );
        return times.some(isTooFast) ? [course] : [];
      });
      expect(tooFast).toEqual([]);
    });

    test('is on average not well below the limit or the source', () => {
      const expected = (DURATION_MS / 1000) * Math.min(sourceHz, maxFrequencyHz);
      const rates = variants.map(({ course, times }) => ({ ...course, ratio: times.length / expected }));
      // What comes a little too early waits for a tick, which counts where the ticks are as far apart as the values.
      const least = maxFrequencyHz <= 500 / TICK_MS ? 0.95 : 0.8;
      expect(rates.filter(({ ratio }) => ratio < least)).toEqual([]);
    });
  });
});

test(
  'the last value of each series is never lost, and none goes backwards',
  seeded((random) => {
    for (let round = 0; round < 200; round++) {
      const gate = new TestGate();
      const last = new Map<string, number>();
      let nowMs = 0;
      for (let n = 1; n <= 200; n++) {
        nowMs += random.next() * 10;
        const series = random.pick(['a', 'b', 'c']);
        gate.offer(series, n, random.pick([0, 5, 50, 300]), nowMs);
        last.set(series, n);
        if (random.chance(0.3)) gate.gate.release(nowMs);
      }
      gate.gate.release(nowMs + 300);
      const held = new Map<string, number>();
      for (const value of gate.passed.split(' ')) {
        const series = value.slice(0, 1);
        const n = Number(value.slice(1));
        expect(n).toBeGreaterThan(held.get(series) ?? 0);
        held.set(series, n);
      }
      expect(held).toEqual(last);
      gate.gate.release(nowMs + 1000);
      expect(gate.gate.isIdle).toBe(true);
    }
  }),
);

describe('the clock', () => {
  afterEach(() => {
    jest.useRealTimers();
  });

  test('releases every gate it watches, with one timer that ends when nothing is paced', () => {
    jest.useFakeTimers();
    const clock = new RateClock();
    const passed: number[] = [];
    const gates = Array.from({ length: 50 }, (_, n) => new RateGate(() => passed.push(n), clock));
    for (const gate of gates) {
      gate.offer(datumFrame('a', 1), 100, performance.now());
      gate.offer(datumFrame('a', 2), 100, performance.now());
    }
    expect(passed).toHaveLength(50);
    expect(jest.getTimerCount()).toBe(1);
    jest.advanceTimersByTime(99);
    expect(passed).toHaveLength(50);
    jest.advanceTimersByTime(TICK_MS + 1);
    expect(passed).toHaveLength(100);
    jest.advanceTimersByTime(100 + TICK_MS);
    expect(jest.getTimerCount()).toBe(0);
    expect(passed).toHaveLength(100);
  });

  test('begins anew after it ended', () => {
    jest.useFakeTimers();
    const clock = new RateClock();
    const passed: string[] = [];
    const gate = new RateGate(({ plainText }) => passed.push(plainText), clock);
    for (const n of [1, 2, 3]) {
      gate.offer(datumFrame('a', n), 20, performance.now());
      gate.offer(datumFrame('a', n + 0.5), 20, performance.now());
      jest.advanceTimersByTime(200);
      expect(jest.getTimerCount()).toBe(0);
    }
    expect(valuesIn(passed)).toEqual(['a1', 'a1.5', 'a2', 'a2.5', 'a3', 'a3.5']);
  });

  test('ends at once when it is closed', () => {
    jest.useFakeTimers();
    const clock = new RateClock();
    const gate = new RateGate(() => {}, clock);
    gate.offer(datumFrame('a', 1), 1000, 0);
    clock.close();
    expect(jest.getTimerCount()).toBe(0);
  });
});
