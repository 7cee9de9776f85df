import { describe, expect, test } from '@jest/globals';
import { InFlightWindow } from '../../src/fan-out/in-flight-window.js';
import { seeded } from '../support/random.js';

/** As over a slow network. */
const LATE_MS = 200;

/** A window of 1000 bytes whose last mark came back within a moment, after so much more was written. */
function confirmedPromptly(duringRoundTripBytes = 0): InFlightWindow {
  const window = new InFlightWindow(1000);
  window.wrote(500);
  window.marked(1, 0);
  window.wrote(duringRoundTripBytes);
  window.confirm(1, 50);
  return window;
}

describe('InFlightWindow', () => {
  test('what was written is in flight until a mark behind it comes back', () => {
    const window = new InFlightWindow(1000);
    window.wrote(300);
    window.marked(1, 0);
    window.wrote(100);
    expect(window.inFlightBytes).toBe(400);
    expect(window.openBytes).toBe(600);
    expect(window.confirm(1, LATE_MS)).toBe(true);
    expect(window.inFlightBytes).toBe(100);
    expect(window.openBytes).toBe(900);
  });

  test('while marks return late one is due when this flush fills half of the window, and then for every quarter', () => {
    const window = new InFlightWindow(1000);
    expect(window.isMarkDue(499)).toBe(false);
    expect(window.isMarkDue(500)).toBe(true);
    window.wrote(450);
    expect(window.isMarkDue(49)).toBe(false);
    expect(window.isMarkDue(50)).toBe(true);
    window.wrote(50);
    window.marked(1, 0);
    expect(window.isMarkDue(249)).toBe(false);
    expect(window.isMarkDue(250)).toBe(true);
    window.confirm(1, LATE_MS);
    expect(window.isMarkDue(499)).toBe(false);
    expect(window.isMarkDue(500)).toBe(true);
  });

  test('where they return at once one is due only when an eighth is open', () => {
    const window = confirmedPromptly();
    window.wrote(850);
    expect(window.isMarkDue(24)).toBe(false);
    expect(window.isMarkDue(25)).toBe(true);
  });

  test('leaves open twice what was written during the last round trip, and at most half', () => {
    for (const [duringRoundTrip, filled] of [
      [100, 800],
      [200, 600],
      [400, 500],
    ] as const) {
      const window = confirmedPromptly(duringRoundTrip);
      window.wrote(filled - duringRoundTrip - 10);
      expect(window.isMarkDue(9)).toBe(false);
      expect(window.isMarkDue(10)).toBe(true);
    }
  });

  test('leaves room for the next two flushes, should they be as large as this one', () => {
    const window = confirmedPromptly();
    window.wrote(420);
    expect(window.isMarkDue(190)).toBe(false);
    expect(window.isMarkDue(200)).toBe(true);
  });

  test('one mark that returns late is enough to send them early again', () => {
    const window = confirmedPromptly();
    window.wrote(875);
    window.marked(2, 0);
    window.confirm(2, 51);
    expect(window.isMarkDue(500)).toBe(true);
  });

  test('a mark confirms the older ones too, and those count no more', () => {
    const window = new InFlightWindow(1000);
    for (const flushNumber of [3, 5, 9]) {
      window.wrote(250);
      window.marked(flushNumber, 0);
    }
    expect(window.confirm(5, LATE_MS)).toBe(true);
    expect(window.inFlightBytes).toBe(250);
    expect(window.confirm(3, LATE_MS)).toBe(false);
    expect(window.confirm(5, LATE_MS)).toBe(false);
    expect(window.inFlightBytes).toBe(250);
    expect(window.confirm(9, LATE_MS)).toBe(true);
    expect(window.inFlightBytes).toBe(0);
  });

  test.each([0, -1, 2, 1e9, Number.NaN, Infinity, 1.5])(
    'the mark %d, which nobody was sent, opens nothing',
    (forged) => {
      const window = new InFlightWindow(1000);
      window.wrote(1000);
      window.marked(1, 0);
      expect(window.confirm(forged, LATE_MS)).toBe(false);
      expect(window.openBytes).toBe(0);
    },
  );

  test('one frame may overrun the window, which then is closed', () => {
    const window = new InFlightWindow(1000);
    window.wrote(5000);
    window.marked(1, 0);
    expect(window.openBytes).toBe(-4000);
    window.confirm(1, LATE_MS);
    expect(window.openBytes).toBe(1000);
  });

  test(
    'a full window always has an outstanding mark that opens it',
    seeded((random) => {
      for (let run = 0; run < 200; run++) {
        const windowBytes = 1024 + random.below(8192);
        const window = new InFlightWindow(windowBytes);
        let flushNumber = 0;
        let outstanding: number[] = [];
        let confirmedAt = 0;
        let written = 0;
        const writtenAt = new Map<number, number>();
        for (let step = 0; step < 200; step++) {
          if (window.openBytes > 0) {
            flushNumber += 1;
            const bytes = 1 + random.below(random.chance(0.1) ? 20_000 : 600);
            const isMarkDue = window.isMarkDue(bytes);
            window.wrote(bytes);
            written += bytes;
            if (isMarkDue) {
              window.marked(flushNumber, step);
              outstanding.push(flushNumber);
              writtenAt.set(flushNumber, written);
            }
          } else if (outstanding.length === 0) {
            throw new Error('the window is full, and no mark will open it');
          }
          if (outstanding.length > 0 && random.chance(0.3)) {
            const returned = random.pick(outstanding);
            if (!window.confirm(returned, step + random.below(2) * LATE_MS))
              throw new Error(`the outstanding mark ${returned} was refused`);
            outstanding = outstanding.filter((each) => each > returned);
            confirmedAt = writtenAt.get(returned) ?? 0;
          }
          const { inFlightBytes } = window;
          const isCovered = outstanding.length > 0 || inFlightBytes < (windowBytes * 7) / 8;
          if (inFlightBytes !== written - confirmedAt || !isCovered) {
            throw new Error(`${inFlightBytes} in flight after ${written} written, ${confirmedAt} confirmed`);
          }
        }
      }
      expect.assertions(0);
    }),
  );
});
