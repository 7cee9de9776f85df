import { describe, expect, test } from '@jest/globals';
import { MarkKind, markBytes, markOfPong } from '../../src/fan-out/mark.js';
import { marksOf, Opcode, parseServerFrames } from '../support/memory.sink.js';

describe('markBytes', () => {
  test.each([
    ['ping', MarkKind.ping, [{ by: 'pong', n: 12 }]],
    ['message', MarkKind.message, [{ by: 'message', n: 12 }]],
    [
      'both',
      MarkKind.both,
      [
        { by: 'message', n: 12 },
        { by: 'pong', n: 12 },
      ],
    ],
  ])('of kind %s', (_, kind, marks) => {
    expect(marksOf(parseServerFrames(markBytes(kind, 12)))).toEqual(marks);
  });

  test('are the same buffer for everybody in one flush, and others in the next', () => {
    expect(markBytes(MarkKind.both, 5)).toBe(markBytes(MarkKind.both, 5));
    expect(markBytes(MarkKind.ping, 5)).not.toEqual(markBytes(MarkKind.both, 5));
    expect(markBytes(MarkKind.ping, 6)).not.toEqual(markBytes(MarkKind.ping, 5));
    expect(marksOf(parseServerFrames(markBytes(MarkKind.ping, 5)))).toEqual([{ by: 'pong', n: 5 }]);
  });
});

describe('markOfPong', () => {
  test.each([0, 1, 4711, Number.MAX_SAFE_INTEGER])('reads back what the ping of flush %i carried', (flushNumber) => {
    const [ping] = parseServerFrames(markBytes(MarkKind.ping, flushNumber));
    expect(ping?.opcode).toBe(Opcode.ping);
    expect(markOfPong(ping?.payload ?? Buffer.alloc(0))).toBe(flushNumber);
  });

  test.each(
    [['', 'm', 'x12', '12', 'mabc', 'm1.5', 'mNaN', 'mInfinity', `m${'9'.repeat(17)}`, 'M12', '\xff\xff']].flat(),
  )('finds no mark in %j', (payload) => {
    expect(markOfPong(Buffer.from(payload, 'latin1'))).toBeUndefined();
  });
});
