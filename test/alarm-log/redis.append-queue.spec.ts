import { describe, expect, test } from '@jest/globals';
import type { NewAlarm } from '../../src/alarm-log/alarm-log.js';
import { type AppendOutcome, AppendQueue } from '../../src/alarm-log/redis.append-queue.js';
import { AlarmNotAcceptedError } from '../../src/push.errors.js';
import { within } from '../support/deadline.js';
import { PLAIN_FIELDS } from '../support/alarm.fields.js';

const DEADLINE_MS = 300;
const ALARM: NewAlarm = { json: '{}', fields: PLAIN_FIELDS, eventId: undefined };

async function outcomeOf(append: Promise<unknown>): Promise<string> {
  try {
    await append;
    return 'accepted';
  } catch (cause) {
    if (cause instanceof AlarmNotAcceptedError) return cause.outcome;
    throw cause;
  }
}

/** A queue whose groups are stored when the test says so. */
function newQueue() {
  const faults: (string | undefined)[] = [];
  const answers: (() => void)[] = [];
  const store = async (batches: readonly (readonly NewAlarm[])[]): Promise<AppendOutcome[]> => {
    await new Promise<void>((resolve) => answers.push(resolve));
    return batches.map((batch) => batch.map(() => ({ cursor: { epoch: 'e', offset: 1 }, duplicate: false })));
  };
  const queue = new AppendQueue({ store, deadlineMs: DEADLINE_MS, onOutcome: (fault) => faults.push(fault) });
  return { queue, faults, answers };
}

describe('AppendQueue', () => {
  test('gives up 10,000 that wait in few steps', async () => {
    const { queue, faults, answers } = newQueue();
    const sent = outcomeOf(queue.append([ALARM]));
    await new Promise((resolve) => setImmediate(resolve));
    const waiting = Array.from({ length: 10_000 }, () => outcomeOf(queue.append([ALARM])));
    expect(await within(sent, 'what was sent is given up')).toBe('unknown');
    expect(new Set(await within(Promise.all(waiting), 'what waits is given up'))).toEqual(new Set(['rejected']));
    // One step for all that are due at once, and not one for each.
    expect(faults.length).toBeLessThan(1000);
    answers.shift()?.();
    await queue.whenIdle();
  });

  test('gives each its own time, and goes on where Redis does', async () => {
    const { queue, answers } = newQueue();
    const startedAtMs = performance.now();
    const sent = outcomeOf(queue.append([ALARM]));
    await new Promise((resolve) => setTimeout(resolve, DEADLINE_MS / 2));
    const lateAtMs = performance.now();
    const late = outcomeOf(queue.append([ALARM]));
    expect(await sent).toBe('unknown');
    expect(performance.now() - startedAtMs).toBeGreaterThanOrEqual(DEADLINE_MS);
    expect(await late).toBe('rejected');
    expect(performance.now() - lateAtMs).toBeGreaterThanOrEqual(DEADLINE_MS);
    answers.shift()?.();
    const next = outcomeOf(queue.append([ALARM]));
    await new Promise((resolve) => setImmediate(resolve));
    answers.shift()?.();
    expect(await next).toBe('accepted');
    await queue.whenIdle();
  });
});
