import { describe, expect, test } from '@jest/globals';
import { ConflatingBacklog, type ConflationOptions } from '../../src/fan-out/conflating.backlog.js';
import { Frame, WireFormat } from '../../src/fan-out/frame.js';
import { conflationKey } from '../../src/fan-out/key.js';
import { WriteTotals } from '../../src/fan-out/write-totals.js';
import { CloseCodes } from '../../src/protocol/close-codes.js';
import { parseServerFrames } from '../support/memory.sink.js';
import { DEFAULT_CONFLATION, datumFrame, valuesIn } from './fixtures.js';

const FRAME_BYTES = datumFrame('a', 1, 100).bytes(WireFormat.plain).length;

/** Of another key. */
function otherFrame(n: number): Frame {
  return Frame.rawData(`{"s":"other","n":${n}}`, conflationKey('dev', '2', 'a'));
}

function backlogOf(options: Partial<ConflationOptions> = {}): ConflatingBacklog {
  return new ConflatingBacklog(WireFormat.plain, { ...DEFAULT_CONFLATION, ...options }, new WriteTotals());
}

/** Adds `a1 b2 …`, a hundred bytes each. */
function add(backlog: ConflatingBacklog, values: string, nowMs = 0): void {
  for (const value of values.split(' ')) {
    backlog.add(datumFrame(value.slice(0, 1), Number(value.slice(1)), 100), nowMs);
  }
}

function framesOf(backlog: ConflatingBacklog, maxBytes: number): Frame[] {
  return backlog.take(maxBytes).flatMap((batch) => batch.frames());
}

function take(backlog: ConflatingBacklog, maxBytes = Infinity): string {
  const frames = framesOf(backlog, maxBytes).flatMap((frame) => parseServerFrames(frame.bytes(WireFormat.plain)));
  return valuesIn(frames.map(({ payload }) => payload.toString())).join(' ');
}

describe('ConflatingBacklog', () => {
  test('without pressure every value waits, in order', () => {
    const backlog = backlogOf();
    add(backlog, 'a1 b2 a3 a4');
    expect(backlog.settle(99)).toBeUndefined();
    expect(backlog.byteLength).toBe(4 * FRAME_BYTES);
    expect(take(backlog)).toBe('a1 b2 a3 a4');
    expect(backlog.isEmpty).toBe(true);
    expect(backlog.byteLength).toBe(0);
    expect(backlog.settle(100)).toBeUndefined();
    expect(backlog.report()).toBeUndefined();
  });

  test('pressure begins when the oldest has waited conflateAfterMs, and then only the newest of each series waits', () => {
    const backlog = backlogOf();
    add(backlog, 'a1 b2 a3 c4 b5', 1000);
    expect(backlog.settle(1099.9)).toBeUndefined();
    expect(backlog.byteLength).toBe(5 * FRAME_BYTES);
    expect(backlog.settle(1100)).toBeUndefined();
    expect(backlog.byteLength).toBe(3 * FRAME_BYTES);
    add(backlog, 'c6 d7 a8', 1101);
    expect(take(backlog)).toBe('a8 b5 c6 d7');
  });

  test('a newer value keeps the place in line of the one it replaces', () => {
    const backlog = backlogOf();
    add(backlog, 'a1 b2 c3');
    backlog.settle(100);
    add(backlog, 'c4 b5 a6', 100);
    expect(take(backlog, FRAME_BYTES)).toBe('a6');
    add(backlog, 'a7', 100);
    expect(take(backlog)).toBe('b5 c4 a7');
  });

  test('a replaced value has waited as long as the one it replaced', () => {
    const backlog = backlogOf({ delivery: 'merge' });
    add(backlog, 'a1', 0);
    add(backlog, 'a2', 90);
    add(backlog, 'b3', 90);
    expect(backlog.settle(100)).toBeUndefined();
    expect(take(backlog)).toBe('a2 b3');
    backlog.settle(130);
    expect(backlog.report()).toEqual({ count: 1, forMs: 30 });
  });

  test('pressure begins at once when the budget is overrun', () => {
    const backlog = backlogOf({ maxOutboxBytes: 3 * FRAME_BYTES });
    add(backlog, 'a1 a2 b3');
    expect(backlog.settle(0)).toBeUndefined();
    expect(backlog.byteLength).toBe(3 * FRAME_BYTES);
    add(backlog, 'b4');
    expect(backlog.settle(0)).toBeUndefined();
    expect(take(backlog)).toBe('a2 b4');
  });

  test('pressure ends when the backlog is empty, and not before', () => {
    const backlog = backlogOf();
    add(backlog, 'a1 b2');
    backlog.settle(100);
    expect(take(backlog, FRAME_BYTES)).toBe('a1');
    backlog.settle(100);
    add(backlog, 'b3 b4', 100);
    expect(take(backlog)).toBe('b4');
    backlog.settle(101);
    add(backlog, 'b5 b6', 101);
    expect(take(backlog)).toBe('b5 b6');
  });

  test('the report says how many were replaced and for how long, once', () => {
    const backlog = backlogOf();
    add(backlog, 'a1 a2 a3 b4', 1000);
    backlog.settle(1200);
    add(backlog, 'b5', 1300);
    expect(backlog.report()).toBeUndefined();
    take(backlog);
    backlog.settle(1500);
    expect(backlog.report()).toEqual({ count: 3, forMs: 300 });
    expect(backlog.report()).toBeUndefined();
    add(backlog, 'a6', 1600);
    take(backlog);
    backlog.settle(1600);
    expect(backlog.report()).toBeUndefined();
  });

  test('frames without a series are never replaced', () => {
    const backlog = backlogOf({ delivery: 'merge' });
    backlog.add(Frame.text('"x"'), 0);
    backlog.add(Frame.text('"x"'), 0);
    add(backlog, 'a1 a2');
    backlog.settle(1000);
    expect(framesOf(backlog, Infinity)).toHaveLength(3);
  });

  test('behind the end of a subscription a value does not take the place of one before it', () => {
    const backlog = backlogOf({ delivery: 'merge' });
    add(backlog, 'a1');
    backlog.add(otherFrame(2), 0);
    backlog.add(Frame.separator('{}', [{ businessType: 'dev', businessId: '1' }]), 0);
    add(backlog, 'a3');
    backlog.add(otherFrame(4), 0);
    add(backlog, 'a5');
    const values = framesOf(backlog, Infinity).map((frame) => JSON.parse(frame.plainText) as unknown);
    expect(values).toMatchObject([{ s: 'a', n: 1 }, { s: 'other', n: 4 }, {}, { s: 'a', n: 5 }]);
    expect(backlog.conflatedCount).toBe(2);
    expect(backlog.byteLength).toBe(0);
  });

  test('the end of nothing is an answer like any other', () => {
    expect(Frame.separator('{}', []).separates).toBeUndefined();
  });

  test('a conflated backlog still over its budget closes the client: 4413, retry', () => {
    const backlog = backlogOf({ maxOutboxBytes: 2 * FRAME_BYTES });
    add(backlog, 'a1 b2 c3');
    expect(backlog.settle(0)).toEqual({ code: 4413, reason: expect.any(String), advice: 'retry' });
  });

  test('exactly the budget is within it', () => {
    const backlog = backlogOf({ maxOutboxBytes: 3 * FRAME_BYTES });
    add(backlog, 'a1 b2 c3');
    expect(backlog.settle(0)).toBeUndefined();
    add(backlog, 'd4');
    expect(backlog.settle(0)).toBe(CloseCodes.outboxFull);
  });

  describe('merge', () => {
    test('conflates also without pressure', () => {
      const backlog = backlogOf({ delivery: 'merge' });
      add(backlog, 'a1 b2 a3');
      expect(backlog.byteLength).toBe(2 * FRAME_BYTES);
      expect(take(backlog)).toBe('a3 b2');
    });
  });

  describe('disconnect', () => {
    test.each([
      ['waits too long', { conflateAfterMs: 100 }, 100],
      ['is over the budget', { maxOutboxBytes: FRAME_BYTES }, 0],
    ])('closes a client that %s: 4408, retry', (_, options, nowMs) => {
      const backlog = backlogOf({ delivery: 'disconnect', ...options });
      add(backlog, 'a1 a2');
      expect(backlog.settle(nowMs)).toEqual({ code: 4408, reason: expect.any(String), advice: 'retry' });
    });

    test('replaces nothing before that', () => {
      const backlog = backlogOf({ delivery: 'disconnect' });
      add(backlog, 'a1 a2 a3');
      expect(backlog.settle(99)).toBeUndefined();
      expect(take(backlog)).toBe('a1 a2 a3');
    });
  });

  describe('take', () => {
    test('takes what fits, but at least one', () => {
      const backlog = backlogOf();
      add(backlog, 'a1 b2 c3 d4');
      expect(take(backlog, 1)).toBe('a1');
      expect(take(backlog, 2 * FRAME_BYTES)).toBe('b2 c3');
      expect(take(backlog, 2 * FRAME_BYTES - 1)).toBe('d4');
      expect(take(backlog, 1000)).toBe('');
    });

    test('stops at the first that does not fit, so that nothing overtakes', () => {
      const backlog = backlogOf();
      backlog.add(datumFrame('a', 1, 100), 0);
      backlog.add(datumFrame('b', 2, 1000), 0);
      backlog.add(datumFrame('c', 3, 100), 0);
      expect(take(backlog, 3 * FRAME_BYTES)).toBe('a1');
    });

    test('counts the bytes of its own wire format', () => {
      const backlog = new ConflatingBacklog(WireFormat.pushV1, DEFAULT_CONFLATION, new WriteTotals());
      const frame = datumFrame('a', 1, 100);
      backlog.add(frame, 0);
      expect(backlog.byteLength).toBe(frame.bytes(WireFormat.pushV1).length);
    });
  });
});
