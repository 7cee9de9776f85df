import { beforeEach, describe, expect, test } from '@jest/globals';
import type { AlarmEntry, AlarmLog } from '../../src/alarm-log/alarm-log.js';
import { ActiveAlarms } from '../../src/registry/active.alarms.js';
import type { AlarmPages } from '../../src/registry/alarm.pages.js';
import { turn, until } from '../support/deadline.js';
import { Gate } from '../support/gate.js';

let gates: Gate[];
let pages: { epoch: string; head: number; frame: (entry: AlarmEntry) => unknown };
let active: ActiveAlarms;
let isFailing: boolean;

beforeEach(() => {
  gates = [];
  isFailing = false;
  pages = { epoch: 'e', head: 1, frame: (entry) => entry };
  const log = {
    bounds: () => ({ epoch: pages.epoch, newest: pages.head, oldest: 1 }),
    active: async () => {
      const gate = new Gate();
      gates.push(gate);
      await gate.opened;
      if (isFailing) throw new Error('the disk is slow');
      return [{ offset: pages.head }];
    },
  };
  active = new ActiveAlarms(log as unknown as AlarmLog, pages as unknown as AlarmPages);
});

/** The head that each was given, once all reads are let through. */
async function headsOf(asked: readonly Promise<{ head: number }>[]): Promise<number[]> {
  const heads: number[] = [];
  for (const each of asked) void each.then(({ head }) => heads.push(head));
  await until(() => {
    for (const gate of gates) gate.open();
    return heads.length === asked.length;
  }, 'all are given the conditions');
  return heads;
}

describe('the conditions that hold', () => {
  test('are read once for all who ask before the next alarm', async () => {
    const asked = Array.from({ length: 100 }, () => active.held());
    expect(await headsOf([...asked])).toEqual(asked.map(() => 1));
    await active.held();
    expect(gates).toHaveLength(1);
    pages.head = 2;
    expect(await headsOf([active.held()])).toEqual([2]);
    expect(gates).toHaveLength(2);
  });

  test('are read once more for all who ask while they are read, however many alarms come', async () => {
    const first = active.held();
    await turn();
    const others = Array.from({ length: 100 }, () => {
      pages.head += 1;
      return active.held();
    });
    await turn();
    expect(gates).toHaveLength(1);
    expect(await headsOf([first, ...others])).toEqual([1, ...others.map(() => 101)]);
    expect(gates).toHaveLength(2);
  });

  test('are not read all the time: after each read there is a rest', async () => {
    const first = active.held();
    await turn();
    const startMs = performance.now();
    await until(() => performance.now() - startMs > 20, 'it takes its time');
    await headsOf([first]);
    const readMs = performance.now() - startMs;
    pages.head = 2;
    await headsOf([active.held()]);
    expect(performance.now() - startMs).toBeGreaterThan(readMs + 3 * 20);
  });

  test('of another epoch are others', async () => {
    await headsOf([active.held()]);
    pages.epoch = 'f';
    await headsOf([active.held()]);
    expect(gates).toHaveLength(2);
  });

  test('that could not be read are read again', async () => {
    isFailing = true;
    const failing = active.held();
    const outcome = Promise.allSettled([failing]);
    await until(() => gates.length === 1, 'it is read');
    gates[0]?.open();
    expect(await outcome).toMatchObject([{ status: 'rejected' }]);
    isFailing = false;
    expect(await headsOf([active.held()])).toEqual([1]);
  });
});
