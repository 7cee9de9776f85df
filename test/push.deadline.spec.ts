import { afterEach, beforeEach, describe, expect, jest, test } from '@jest/globals';
import { withDeadline } from '../src/push.deadline.js';

const DEADLINE_MS = 1000;

const never = new Promise<string>(() => {});

describe('withDeadline', () => {
  beforeEach(() => void jest.useFakeTimers());
  afterEach(() => void jest.useRealTimers());

  test('gives what the promise gives, or throws what it throws, and leaves no timer', async () => {
    const onLate = jest.fn();
    expect(await withDeadline(Promise.resolve('a'), DEADLINE_MS, onLate)).toBe('a');
    await expect(withDeadline(Promise.reject(new Error('b')), DEADLINE_MS, onLate)).rejects.toThrow('b');
    expect(jest.getTimerCount()).toBe(0);
    expect(onLate).not.toHaveBeenCalled();
  });

  test('gives what onLate gives where that takes longer, and not before', async () => {
    const onLate = jest.fn(() => 'late');
    const waiting = withDeadline(never, DEADLINE_MS, onLate);
    await jest.advanceTimersByTimeAsync(DEADLINE_MS - 1);
    expect(onLate).not.toHaveBeenCalled();
    await jest.advanceTimersByTimeAsync(1);
    expect(await waiting).toBe('late');
    expect(jest.getTimerCount()).toBe(0);
  });

  test('rejects with what onLate throws', async () => {
    const waiting = withDeadline(never, DEADLINE_MS, () => {
      throw new Error('too late');
    });
    const [outcome] = await Promise.all([Promise.allSettled([waiting]), jest.advanceTimersByTimeAsync(DEADLINE_MS)]);
    expect(outcome).toEqual([{ status: 'rejected', reason: new Error('too late') }]);
  });

  test('what the promise throws after its time harms nobody', async () => {
    const late = new Promise<string>((_resolve, reject) => {
      setTimeout(() => reject(new Error('nobody waits for this')), 2 * DEADLINE_MS);
    });
    const waiting = withDeadline(late, DEADLINE_MS, () => undefined);
    await jest.advanceTimersByTimeAsync(2 * DEADLINE_MS);
    expect(await waiting).toBeUndefined();
  });
});
