import { describe, expect, test } from '@jest/globals';
import { Unacknowledged } from '../../src/fan-out/unacknowledged.js';

function sentOf(max: number, ...offsets: number[]): Unacknowledged {
  const unacknowledged = new Unacknowledged(max);
  for (const offset of offsets) unacknowledged.sent(offset);
  return unacknowledged;
}

describe('Unacknowledged', () => {
  test('is full with so many as were sent', () => {
    const unacknowledged = sentOf(2);
    expect(unacknowledged.isFull).toBe(false);
    unacknowledged.sent(4);
    expect(unacknowledged.isFull).toBe(false);
    unacknowledged.sent(9);
    expect(unacknowledged.isFull).toBe(true);
  });

  test.each([
    [3, true],
    [4, false],
    [8, false],
    [20, false],
  ])('of 4, 9 and 11, after the cursor %d: full %s', (cursor, isFull) => {
    const unacknowledged = sentOf(3, 4, 9, 11);
    unacknowledged.acknowledge(cursor);
    expect(unacknowledged.isFull).toBe(isFull);
  });

  test('counts exactly what the cursor does not cover', () => {
    const unacknowledged = sentOf(3, 4, 9, 11);
    unacknowledged.acknowledge(9);
    unacknowledged.sent(12);
    expect(unacknowledged.isFull).toBe(false);
    unacknowledged.sent(13);
    expect(unacknowledged.isFull).toBe(true);
    unacknowledged.acknowledge(4);
    expect(unacknowledged.isFull).toBe(true);
  });

  test('what was not sent after all counts no more', () => {
    const unacknowledged = sentOf(3, 4, 9, 11);
    unacknowledged.rewind(11);
    expect(unacknowledged.isFull).toBe(true);
    unacknowledged.rewind(8);
    unacknowledged.sent(9);
    expect(unacknowledged.isFull).toBe(false);
    unacknowledged.sent(11);
    expect(unacknowledged.isFull).toBe(true);
    unacknowledged.rewind(0);
    for (const offset of [4, 9]) unacknowledged.sent(offset);
    expect(unacknowledged.isFull).toBe(false);
  });
});
