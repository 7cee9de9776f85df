import { EventEmitter, once } from 'node:events';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { Logger } from '@nestjs/common';
import type { AlarmEntry, NewAlarm } from '../../src/alarm-log/alarm-log.js';
import { MemoryAlarmLog } from '../../src/alarm-log/memory.alarm-log.js';
import type { MemorySink } from '../support/memory.sink.js';
import { AlarmSide } from './alarm.fixture.js';
import { PLAIN_FIELDS } from '../support/alarm.fields.js';

const RETENTION = { count: 10_000, hours: 168, bytes: 1024 * 1024 * 1024 };

/** A log whose reads can be held back or fail. */
class TestLog extends MemoryAlarmLog {
  failures = 0;
  hold: Promise<unknown> | undefined;

  override async read(afterOffset: number, limit: number): Promise<AlarmEntry[]> {
    if (this.hold !== undefined) await this.hold;
    if (this.failures > 0) {
      this.failures -= 1;
      throw new Error('the disk is slow');
    }
    return super.read(afterOffset, limit);
  }
}

let log: TestLog;
let alarmSide: AlarmSide;
let sink: MemorySink;

beforeEach(() => {
  Logger.overrideLogger(false);
  log = new TestLog(RETENTION);
  alarmSide = new AlarmSide(log, { maxOutboxBytes: 64 * 1024 * 1024, inFlightBytes: 64 * 1024 * 1024 });
  ({ sink } = alarmSide.connect());
});

afterEach(() => {
  alarmSide.close();
  Logger.overrideLogger(['log', 'error', 'warn', 'debug', 'verbose', 'fatal']);
});

const alarmOf = (n: number): NewAlarm => ({
  json: JSON.stringify({ n }),
  fields: PLAIN_FIELDS,
  eventId: undefined,
});

const offsetOf = (id: string) => Number(id.split('.')[1]);

function heard(): { n: number; offset: number }[] {
  return sink.texts().map((text) => {
    const { id, data } = JSON.parse(text) as { id: string; data: { n: number } };
    return { n: data.n, offset: offsetOf(id) };
  });
}

/** Waits until so many alarms arrived, or nothing moves any more. */
async function hear(count: number): Promise<number[]> {
  for (let turn = 0; turn < 50 && heard().length < count; turn++) await nextTurn();
  return heard().map(({ n }) => n);
}

describe('AlarmTail', () => {
  test('routes what is appended, in the order of the log, with its cursor', async () => {
    alarmSide.tail.onApplicationBootstrap();
    await log.append([alarmOf(1), alarmOf(2)]);
    await log.append([alarmOf(3)]);
    await hear(3);
    expect(heard()).toEqual([1, 2, 3].map((n) => ({ n, offset: n })));
    expect(offsetOf(alarmSide.pages.headCursor)).toBe(3);
    expect(alarmSide.pages.headCursor.startsWith(`${log.bounds().epoch}.`)).toBe(true);
  });

  test('begins behind what the log holds already', async () => {
    await log.append([alarmOf(1), alarmOf(2)]);
    alarmSide.tail.onApplicationBootstrap();
    expect(offsetOf(alarmSide.pages.headCursor)).toBe(2);
    await log.append([alarmOf(3)]);
    expect(await hear(1)).toEqual([3]);
  });

  test('routes more than a page', async () => {
    alarmSide.tail.onApplicationBootstrap();
    const all = Array.from({ length: 1000 }, (_, i) => i + 1);
    await log.append(all.map(alarmOf));
    expect(await hear(1000)).toEqual(all);
  });

  test('routes each once where many append while it reads', async () => {
    alarmSide.tail.onApplicationBootstrap();
    const gate = new EventEmitter();
    log.hold = once(gate, 'open');
    for (let n = 1; n <= 450; n++) await log.append([alarmOf(n)]);
    gate.emit('open');
    log.hold = undefined;
    expect(await hear(450)).toEqual(Array.from({ length: 450 }, (_, i) => i + 1));
  });

  test.each(Array.from({ length: 16 }, (_, hops) => hops))(
    'never waits for the next alarm: a second one, %d steps behind the first, is routed',
    async (hops) => {
      alarmSide.tail.onApplicationBootstrap();
      await nextTurn();
      void log.append([alarmOf(1)]);
      for (let hop = 0; hop < hops; hop++) await Promise.resolve();
      void log.append([alarmOf(2)]);
      expect(await hear(2)).toEqual([1, 2]);
    },
  );

  test('one push after another arrives, however the caller waits', async () => {
    alarmSide.tail.onApplicationBootstrap();
    const arrived: number[] = [];
    for (let n = 1; n <= 100; n++) {
      await log.append([alarmOf(n)]);
      for (let hop = 0; hop < n % 12; hop++) await Promise.resolve();
      if (n % 10 === 0) arrived.push((await hear(n)).length);
    }
    expect(arrived).toEqual([10, 20, 30, 40, 50, 60, 70, 80, 90, 100]);
  });

  test('a read that fails loses nothing: it is all routed with the next alarm', async () => {
    alarmSide.tail.onApplicationBootstrap();
    log.failures = 1;
    await log.append([alarmOf(1)]);
    for (let turn = 0; turn < 5; turn++) await nextTurn();
    await log.append([alarmOf(2)]);
    expect(await hear(2)).toEqual([1, 2]);
  });

  test('is silent after its end', async () => {
    alarmSide.tail.onApplicationBootstrap();
    await log.append([alarmOf(1)]);
    expect(await hear(1)).toEqual([1]);
    alarmSide.tail.onApplicationShutdown();
    await log.append([alarmOf(2)]);
    for (let turn = 0; turn < 5; turn++) await nextTurn();
    expect(heard()).toHaveLength(1);
  });
});
