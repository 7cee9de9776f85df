import { EventEmitter, once } from 'node:events';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import type { AlarmEntry, AlarmLog, NewAlarm } from '../../src/alarm-log/alarm-log.js';
import { parseCursor, formatCursor } from '../../src/protocol/cursor.js';
import { EventIdConflictError, InvalidPushError } from '../../src/push.errors.js';
import { PLAIN_FIELDS } from '../support/alarm.fields.js';

export interface AlarmLogOptions {
  readonly retention: { readonly count: number; readonly hours: number; readonly bytes: number };
  /** The log's clock, in milliseconds of Unix time. */
  readonly now: () => number;
}

export interface AlarmLogHooks {
  /** Closes the log and opens the same store again; given by backends that outlive a process. */
  readonly reopen?: (log: AlarmLog, options: AlarmLogOptions) => Promise<AlarmLog>;
  /** Runs after each test, when the log is closed. */
  readonly cleanUp?: () => Promise<void>;
}

const HOUR_MS = 3_600_000;
const AMPLE: AlarmLogOptions['retention'] = { count: 100_000, hours: 168, bytes: 1024 * 1024 * 1024 };

/** What every backend of {@link AlarmLog} promises. Runs on a new, empty log for each test. */
export function describeAlarmLog(
  name: string,
  open: (options: AlarmLogOptions) => Promise<AlarmLog>,
  { reopen, cleanUp }: AlarmLogHooks = {},
): void {
  describe(`${name} is an alarm log`, () => {
    let log: AlarmLog;
    let nowMs: number;
    let options: AlarmLogOptions;

    const openWith = async (retention: Partial<AlarmLogOptions['retention']>) => {
      await log.close();
      await cleanUp?.();
      options = { retention: { ...AMPLE, ...retention }, now: () => nowMs };
      log = await open(options);
    };

    beforeEach(async () => {
      nowMs = Date.UTC(2030, 0, 1);
      options = { retention: AMPLE, now: () => nowMs };
      log = await open(options);
    });

    afterEach(async () => {
      await log.close();
      await cleanUp?.();
    });

    const appendNumbers = async (from: number, to: number) => {
      for (let n = from; n <= to; n++) await log.append([alarmOf(n)]);
    };

    describe('appending', () => {
      test('an empty log begins before its first alarm', () => {
        const { epoch, oldest, newest } = log.bounds();
        expect({ oldest, newest }).toEqual({ oldest: 1, newest: 0 });
        expect(parseCursor(formatCursor({ epoch, offset: newest }))).toEqual({ epoch, offset: 0 });
      });

      test('offsets are contiguous from 1, in the order of the calls and of each batch', async () => {
        const receipts = [
          ...(await log.append([alarmOf(1)])),
          ...(await log.append([alarmOf(2), alarmOf(3), alarmOf(4)])),
          ...(await log.append([alarmOf(5)])),
        ];
        const { epoch } = log.bounds();
        expect(receipts).toEqual([1, 2, 3, 4, 5].map((offset) => ({ cursor: { epoch, offset }, duplicate: false })));
        expect(log.bounds()).toEqual({ epoch, oldest: 1, newest: 5 });
        expect(numbersIn(await log.read(0, 10))).toEqual([1, 2, 3, 4, 5]);
        expect(new Set((await log.read(0, 10)).map((entry) => entry.epoch))).toEqual(new Set([epoch]));
        expect(await log.refresh()).toEqual(log.bounds());
      });

      test('offsets are contiguous also when many append at the same time, and each batch stays together', async () => {
        const batches = Array.from({ length: 50 }, (_, b) => [alarmOf(b * 3), alarmOf(b * 3 + 1), alarmOf(b * 3 + 2)]);
        const receipts = await Promise.all(batches.map((batch) => log.append(batch)));
        const entries = await log.read(0, 1000);
        expect(entries.map(({ offset }) => offset)).toEqual(Array.from({ length: 150 }, (_, i) => i + 1));
        receipts.forEach((ofBatch, b) => {
          const [first = 0] = ofBatch.map(({ cursor }) => cursor.offset);
          expect(ofBatch.map(({ cursor }) => cursor.offset)).toEqual([first, first + 1, first + 2]);
          expect(numbersIn(entries.slice(first - 1, first + 2))).toEqual([b * 3, b * 3 + 1, b * 3 + 2]);
        });
      });

      test('nothing is appended for an empty batch', async () => {
        expect(await log.append([])).toEqual([]);
        expect(log.bounds().newest).toBe(0);
      });

      test('what was appended is read as it was, with its fields', async () => {
        const full: NewAlarm = {
          json: '{"电":"\\u0000 1.0","n":1.50}',
          fields: {
            businessId: '电:1',
            businessType: 'dev',
            severity: 700,
            orgId: 'acme/plant1',
            conditionId: 'c',
            active: false,
          },
          eventId: 'e1',
        };
        await log.append([full, alarmOf(2)]);
        const [first, second] = await log.read(0, 10);
        expect(first).toMatchObject({ offset: 1, json: full.json, fields: full.fields });
        expect(second).toMatchObject({ offset: 2, json: alarmOf(2).json, fields: { businessId: '1' } });
        for (const field of ['businessType', 'severity', 'orgId', 'conditionId', 'active'] as const) {
          expect(second?.fields[field]).toBeUndefined();
        }
      });

      test('an alarm of 64 KiB is taken', async () => {
        const json = JSON.stringify({ p: '电'.repeat(21_000) });
        await log.append([{ ...alarmOf(1), json }]);
        expect((await log.read(0, 1))[0]?.json).toBe(json);
      });

      test('every later read finds it, once the append has resolved', async () => {
        for (let n = 1; n <= 20; n++) {
          const [receipt] = await log.append([alarmOf(n)]);
          const offset = receipt?.cursor.offset ?? 0;
          expect(log.bounds().newest).toBeGreaterThanOrEqual(offset);
          expect(numbersIn(await log.read(offset - 1, 1))).toEqual([n]);
        }
      });
    });

    describe('event ids', () => {
      test('the same eventId with the same content is stored once', async () => {
        const [first] = await log.append([alarmOf(1, 'e1')]);
        await log.append([alarmOf(2)]);
        const [again] = await log.append([alarmOf(1, 'e1')]);
        expect(again).toEqual({ cursor: first?.cursor, duplicate: true });
        expect(numbersIn(await log.read(0, 10))).toEqual([1, 2]);
      });

      test('also within one batch', async () => {
        const receipts = await log.append([alarmOf(1, 'e1'), alarmOf(2), alarmOf(1, 'e1'), alarmOf(3)]);
        expect(receipts.map(({ cursor, duplicate }) => [cursor.offset, duplicate])).toEqual([
          [1, false],
          [2, false],
          [1, true],
          [3, false],
        ]);
        expect(numbersIn(await log.read(0, 10))).toEqual([1, 2, 3]);
      });

      test('also when both are appended at the same time', async () => {
        const receipts = await Promise.all([log.append([alarmOf(1, 'e1')]), log.append([alarmOf(1, 'e1')])]);
        expect(receipts.flat().map(({ cursor }) => cursor.offset)).toEqual([1, 1]);
        expect(receipts.flat().filter(({ duplicate }) => duplicate)).toHaveLength(1);
        expect(log.bounds().newest).toBe(1);
      });

      test('alarms without eventId are never duplicates', async () => {
        await log.append([alarmOf(1), alarmOf(1)]);
        await log.append([alarmOf(1)]);
        expect(numbersIn(await log.read(0, 10))).toEqual([1, 1, 1]);
      });

      test('the same eventId with other content is refused, with the place of the first', async () => {
        await log.append([alarmOf(0), alarmOf(1, 'e1')]);
        const error: unknown = await log.append([alarmOf(2, 'e1')]).catch((cause: unknown) => cause);
        expect(error).toBeInstanceOf(EventIdConflictError);
        expect(error).toMatchObject({ eventId: 'e1', cursor: formatCursor({ epoch: log.bounds().epoch, offset: 2 }) });
        expect(log.bounds().newest).toBe(2);
      });

      test.each(['__proto__', 'constructor', '电', 'a\0b', 'x'.repeat(128)])(
        '%j is an eventId as any other',
        async (eventId) => {
          const [first] = await log.append([alarmOf(1, eventId)]);
          expect(first?.duplicate).toBe(false);
          expect((await log.append([alarmOf(1, eventId)]))[0]?.duplicate).toBe(true);
          await expect(log.append([alarmOf(2, eventId)])).rejects.toBeInstanceOf(EventIdConflictError);
        },
      );

      test.each<[string, NewAlarm[], object]>([
        [
          'with what is stored',
          [alarmOf(2), alarmOf(3, 'e3'), alarmOf(99, 'e1'), alarmOf(4, 'e4')],
          { name: 'EventIdConflictError', eventId: 'e1', cursor: expect.stringMatching(/\.1$/) },
        ],
        [
          'with what is stored, behind one that is the same',
          [alarmOf(2), alarmOf(1, 'e1'), alarmOf(99, 'e1')],
          { name: 'EventIdConflictError', eventId: 'e1', cursor: expect.stringMatching(/\.1$/) },
        ],
        [
          'within the batch, which has no cursor to name',
          [alarmOf(2), alarmOf(3, 'e3'), alarmOf(99, 'e3'), alarmOf(4, 'e4')],
          { name: 'InvalidPushError', field: '[2].eventId', message: expect.stringContaining('[1]') },
        ],
      ])('a conflict in the middle of a batch, %s: nothing of the batch is stored', async (_, batch, refusal) => {
        await log.append([alarmOf(1, 'e1')]);
        const error: unknown = await log.append(batch).catch((cause: unknown) => cause);
        expect(error instanceof EventIdConflictError || error instanceof InvalidPushError).toBe(true);
        expect(error).toMatchObject(refusal);
        expect(log.bounds()).toMatchObject({ oldest: 1, newest: 1 });
        expect(numbersIn(await log.read(0, 10))).toEqual([1]);
        const receipts = await log.append([alarmOf(30, 'e3'), alarmOf(40, 'e4')]);
        expect(receipts.map(({ cursor, duplicate }) => [cursor.offset, duplicate])).toEqual([
          [2, false],
          [3, false],
        ]);
      });

      test('appends that are refused do not disturb those beside them', async () => {
        await log.append([alarmOf(1, 'e1')]);
        const outcomes = await Promise.allSettled([
          log.append([alarmOf(2)]),
          log.append([alarmOf(99, 'e1')]),
          log.append([alarmOf(3), alarmOf(4)]),
        ]);
        expect(outcomes.map(({ status }) => status)).toEqual(['fulfilled', 'rejected', 'fulfilled']);
        expect(numbersIn(await log.read(0, 10))).toEqual([1, 2, 3, 4]);
      });
    });

    describe('reading', () => {
      test.each([
        ['from the beginning', 0, 10, [1, 2, 3, 4, 5]],
        ['a page', 1, 2, [2, 3]],
        ['the last page', 3, 10, [4, 5]],
        ['at the head', 5, 10, []],
        ['beyond the head', 99, 10, []],
        ['one', 4, 1, [5]],
        ['nothing', 0, 0, []],
      ])('%s', async (_, afterOffset, limit, numbers) => {
        await appendNumbers(1, 5);
        const entries = await log.read(afterOffset, limit);
        expect(numbersIn(entries)).toEqual(numbers);
        expect(entries.map(({ offset }) => offset)).toEqual(numbers);
      });

      test('page by page finds every alarm once', async () => {
        await log.append(Array.from({ length: 1000 }, (_, i) => alarmOf(i + 1)));
        const found: number[] = [];
        for (let after = 0; ;) {
          const page = await log.read(after, 77);
          found.push(...numbersIn(page));
          const last = page.at(-1);
          if (last === undefined) break;
          after = last.offset;
        }
        expect(found).toEqual(Array.from({ length: 1000 }, (_, i) => i + 1));
      });

      test('a page ends at about a mebibyte of JSON', async () => {
        const json = JSON.stringify({ n: 1, p: 'x'.repeat(60_000) });
        for (let n = 0; n < 4; n++) await log.append(Array.from({ length: 10 }, () => ({ ...alarmOf(1), json })));
        const page = await log.read(0, 100);
        expect(page.length).toBeGreaterThan(10);
        expect(page.length * json.length).toBeLessThanOrEqual(1024 * 1024);
        const next = await log.read(page.length, 100);
        expect(next[0]?.offset).toBe(page.length + 1);
      });

      test('an alarm that is larger than a page is a page', async () => {
        const json = JSON.stringify({ n: 1, p: '电'.repeat(400_000) });
        await log.append([{ ...alarmOf(1), json }, alarmOf(2), alarmOf(3)]);
        expect((await log.read(0, 10)).map((entry) => entry.json === json)).toEqual([true]);
        expect(numbersIn(await log.read(1, 10))).toEqual([2, 3]);
      });

      test('an empty log has nothing to read', async () => {
        expect(await log.read(0, 10)).toEqual([]);
      });

      test('a page that was handed out does not change', async () => {
        await appendNumbers(1, 3);
        const page = await log.read(0, 10);
        await appendNumbers(4, 6);
        expect(numbersIn(page)).toEqual([1, 2, 3]);
      });
    });

    describe('retention', () => {
      test('by count: the oldest go first, and bounds and read tell it', async () => {
        await openWith({ count: 3 });
        await appendNumbers(1, 5);
        await log.trim();
        expect(log.bounds()).toMatchObject({ oldest: 3, newest: 5 });
        expect((await log.read(0, 10)).map(({ offset }) => offset)).toEqual([3, 4, 5]);
        expect((await log.read(1, 2)).map(({ offset }) => offset)).toEqual([3, 4]);
      });

      test('by count, of one batch that is larger than what is kept', async () => {
        await openWith({ count: 3 });
        const receipts = await log.append(Array.from({ length: 10 }, (_, i) => alarmOf(i + 1)));
        expect(receipts.map(({ cursor }) => cursor.offset)).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
        await log.trim();
        expect(log.bounds()).toMatchObject({ oldest: 8, newest: 10 });
      });

      test('by count and by bytes it is exact as soon as the append has resolved', async () => {
        const json = JSON.stringify({ n: 1, p: 'x'.repeat(1000) });
        await openWith({ count: 20, bytes: 15 * 1024 });
        for (let n = 0; n < 30; n++) await log.append([alarmOf(n)]);
        expect(log.bounds()).toMatchObject({ oldest: 11, newest: 30 });
        await log.append(Array.from({ length: 14 }, () => ({ ...alarmOf(1), json })));
        const kept = await log.read(0, 100);
        expect(kept.length).toBeLessThanOrEqual(20);
        expect(kept.reduce((bytes, entry) => bytes + entry.json.length, 0)).toBeLessThanOrEqual(15 * 1024);
        await log.append([{ ...alarmOf(1), json: JSON.stringify({ p: 'x'.repeat(15 * 1024 - 20) }) }]);
        expect((await log.read(0, 100)).at(0)?.offset).toBe(log.bounds().oldest);
        expect(log.bounds()).toMatchObject({ oldest: 45, newest: 45 });
      });

      test('by age', async () => {
        await openWith({ hours: 2 });
        await appendNumbers(1, 2);
        nowMs += HOUR_MS;
        await appendNumbers(3, 3);
        expect(await log.trim()).toBe(0);
        nowMs += HOUR_MS + 1;
        expect(await log.trim()).toBe(2);
        expect(numbersIn(await log.read(0, 10))).toEqual([3]);
        nowMs += HOUR_MS;
        expect(await log.trim()).toBe(1);
        expect(log.bounds()).toMatchObject({ oldest: 4, newest: 3 });
        expect(await log.read(0, 10)).toEqual([]);
      });

      test('by bytes: never more than asked for, and not much less', async () => {
        const json = JSON.stringify({ n: 1, p: 'x'.repeat(1000) });
        await openWith({ bytes: 100 * 1024 });
        for (let n = 0; n < 20; n++) await log.append(Array.from({ length: 10 }, () => ({ ...alarmOf(1), json })));
        await log.trim();
        const { oldest, newest } = log.bounds();
        const kept = newest - oldest + 1;
        expect(kept * json.length).toBeLessThanOrEqual(100 * 1024);
        expect(kept * json.length).toBeGreaterThan(50 * 1024);
      });

      test('bytes are bytes, whatever the script', async () => {
        const json = JSON.stringify({ n: 1, p: '电'.repeat(1000) });
        await openWith({ bytes: 100 * 1024 });
        for (let n = 0; n < 10; n++) await log.append(Array.from({ length: 10 }, () => ({ ...alarmOf(1), json })));
        await log.trim();
        const { oldest, newest } = log.bounds();
        expect((newest - oldest + 1) * Buffer.byteLength(json)).toBeLessThanOrEqual(100 * 1024);
      });

      test('offsets go on behind what was trimmed, also when all was', async () => {
        await openWith({ hours: 1 });
        await appendNumbers(1, 3);
        nowMs += 2 * HOUR_MS;
        await log.trim();
        const [receipt] = await log.append([alarmOf(4)]);
        expect(receipt?.cursor.offset).toBe(4);
        expect(log.bounds()).toMatchObject({ oldest: 4, newest: 4 });
      });

      test('an eventId is free again when its alarm is gone', async () => {
        await openWith({ hours: 1 });
        await log.append([alarmOf(1, 'e1')]);
        nowMs += 2 * HOUR_MS;
        await log.trim();
        const [receipt] = await log.append([alarmOf(2, 'e1')]);
        expect(receipt).toMatchObject({ duplicate: false, cursor: { offset: 2 } });
        expect((await log.append([alarmOf(2, 'e1')]))[0]?.duplicate).toBe(true);
      });

      test('trimming what is all kept removes nothing', async () => {
        await appendNumbers(1, 5);
        expect(await log.trim()).toBe(0);
        expect(log.bounds()).toMatchObject({ oldest: 1, newest: 5 });
      });
    });

    describe('active conditions', () => {
      test('none, at first', async () => {
        await appendNumbers(1, 2);
        expect(await log.active()).toEqual([]);
      });

      test('the newest event of each, in the order of their offsets', async () => {
        await log.append([conditionOf(1, 'a', true), conditionOf(2, 'b', true), alarmOf(3)]);
        await log.append([conditionOf(4, 'c', undefined), conditionOf(5, 'a', true)]);
        const active = await log.active();
        expect(active.map(({ offset }) => offset)).toEqual([2, 4, 5]);
        expect(numbersIn(active)).toEqual([2, 4, 5]);
        expect(active[2]).toEqual((await log.read(4, 1))[0]);
      });

      test('one that is cleared is gone until it is raised again', async () => {
        await log.append([conditionOf(1, 'a', true), conditionOf(2, 'b', true)]);
        await log.append([conditionOf(3, 'a', false), conditionOf(4, 'never-raised', false)]);
        expect(numbersIn(await log.active())).toEqual([2]);
        await log.append([conditionOf(5, 'a', true)]);
        expect(numbersIn(await log.active())).toEqual([2, 5]);
      });

      test('also within one batch', async () => {
        await log.append([conditionOf(1, 'a', true), conditionOf(2, 'a', false), conditionOf(3, 'b', false)]);
        expect(await log.active()).toEqual([]);
      });

      test('one that lasts outlives the retention', async () => {
        await openWith({ count: 2 });
        await log.append([conditionOf(1, 'a', true), conditionOf(2, 'b', true)]);
        await appendNumbers(3, 6);
        expect(log.bounds().oldest).toBe(5);
        expect(numbersIn(await log.active())).toEqual([1, 2]);
        await log.append([conditionOf(7, 'a', false)]);
        expect(numbersIn(await log.active())).toEqual([2]);
      });

      test('a duplicate raises nothing again', async () => {
        const raised = { ...conditionOf(1, 'a', true), eventId: 'e1' };
        await log.append([raised, conditionOf(2, 'a', false)]);
        await log.append([raised]);
        expect(await log.active()).toEqual([]);
      });
    });

    describe('the clock', () => {
      test('set back an hour, does no harm', async () => {
        await openWith({ hours: 2 });
        await log.append([alarmOf(1, 'e1')]);
        nowMs -= HOUR_MS;
        await log.append([alarmOf(2, 'e2'), alarmOf(3)]);
        expect((await log.append([alarmOf(1, 'e1')]))[0]).toMatchObject({ duplicate: true, cursor: { offset: 1 } });
        expect(await log.trim()).toBe(0);
        expect(numbersIn(await log.read(0, 10))).toEqual([1, 2, 3]);
        nowMs += 3 * HOUR_MS + 1;
        expect(await log.trim()).toBe(3);
        expect((await log.append([alarmOf(4)]))[0]?.cursor.offset).toBe(4);
      });
    });

    describe('onAppended', () => {
      test('calls back when an entry is readable, and after unsubscription not any more', async () => {
        const events = new EventEmitter();
        let calls = 0;
        const stop = log.onAppended(() => {
          calls += 1;
          events.emit('heard', log.bounds().newest);
        });
        let heard = once(events, 'heard');
        await log.append([alarmOf(1)]);
        expect(await heard).toEqual([1]);
        heard = once(events, 'heard');
        await log.append([alarmOf(2), alarmOf(3)]);
        expect(await heard).toEqual([3]);
        stop();
        const before = calls;
        let lastHeard = 0;
        const last = new Promise<void>((resolve) => {
          log.onAppended(() => {
            lastHeard += 1;
            resolve();
          });
        });
        await log.append([alarmOf(4)]);
        await last;
        expect(calls).toBe(before);
        expect(lastHeard).toBe(1);
      });

      test('every listener is called, and each ends for itself', async () => {
        const heard: string[] = [];
        const events = new EventEmitter();
        const listen = (listener: string) => {
          const stop = log.onAppended(() => {
            heard.push(listener);
            events.emit(listener);
          });
          return { stop, called: once(events, listener) };
        };
        const [a, b] = [listen('a'), listen('b')];
        await log.append([alarmOf(1)]);
        await Promise.all([a.called, b.called]);
        a.stop();
        a.stop();
        heard.length = 0;
        const c = listen('c');
        await log.append([alarmOf(2)]);
        await c.called;
        expect(heard.toSorted()).toEqual(['b', 'c']);
      });

      test('is silent where nothing was stored', async () => {
        await log.append([alarmOf(1, 'e1')]);
        const heardAt: number[] = [];
        const listening = new Promise<void>((resolve) => {
          log.onAppended(() => {
            heardAt.push(log.bounds().newest);
            if (log.bounds().newest === 2) resolve();
          });
        });
        await log.append([alarmOf(1, 'e1')]);
        await log.append([]);
        await log.append([alarmOf(9, 'e1')]).catch(() => {});
        await log.append([alarmOf(2)]);
        await listening;
        expect(heardAt).toEqual([2]);
      });
    });

    if (reopen !== undefined) {
      describe('opened again', () => {
        test('has the same epoch, bounds and alarms, and goes on counting', async () => {
          await appendNumbers(1, 3);
          const before = { bounds: log.bounds(), entries: await log.read(0, 10) };
          log = await reopen(log, options);
          expect({ bounds: log.bounds(), entries: await log.read(0, 10) }).toEqual(before);
          expect((await log.append([alarmOf(4)]))[0]?.cursor).toEqual({ epoch: before.bounds.epoch, offset: 4 });
        });

        test('knows its event ids', async () => {
          const [first] = await log.append([alarmOf(1, 'e1')]);
          log = await reopen(log, options);
          expect(await log.append([alarmOf(1, 'e1')])).toEqual([{ cursor: first?.cursor, duplicate: true }]);
          await expect(log.append([alarmOf(2, 'e1')])).rejects.toBeInstanceOf(EventIdConflictError);
        });

        test('knows what is active, also what the retention removed', async () => {
          await openWith({ count: 2 });
          await log.append([conditionOf(1, 'a', true), conditionOf(2, 'b', true), conditionOf(3, 'c', true)]);
          await log.append([conditionOf(4, 'b', false)]);
          const before = await log.active();
          log = await reopen(log, options);
          expect(numbersIn(await log.active())).toEqual([1, 3]);
          expect(await log.active()).toEqual(before);
          await log.append([conditionOf(5, 'a', false)]);
          expect(numbersIn(await log.active())).toEqual([3]);
        });

        test('has the bounds that trimming left, and counts bytes on', async () => {
          await openWith({ count: 3, bytes: 100 });
          await appendNumbers(1, 9);
          log = await reopen(log, options);
          expect(log.bounds()).toMatchObject({ oldest: 7, newest: 9 });
          await log.append([{ ...alarmOf(1), json: JSON.stringify({ p: 'x'.repeat(90) }) }]);
          expect(log.bounds()).toMatchObject({ oldest: 10, newest: 10 });
        });

        test('keeps less where the retention has shrunk', async () => {
          await log.append(Array.from({ length: 3000 }, (_, i) => alarmOf(i + 1, `e${i + 1}`)));
          log = await reopen(log, { ...options, retention: { ...options.retention, count: 10 } });
          await log.append([alarmOf(3001)]);
          await log.trim();
          expect(log.bounds()).toMatchObject({ oldest: 2992, newest: 3001 });
          expect((await log.append([alarmOf(7, 'e1')]))[0]?.duplicate).toBe(false);
          expect((await log.append([alarmOf(3000, 'e3000')]))[0]?.duplicate).toBe(true);
        });

        test('never uses an offset twice, also when all was trimmed', async () => {
          await openWith({ hours: 1 });
          await appendNumbers(1, 3);
          nowMs += 2 * HOUR_MS;
          await log.trim();
          log = await reopen(log, options);
          expect(log.bounds()).toMatchObject({ oldest: 4, newest: 3 });
          expect((await log.append([alarmOf(4)]))[0]?.cursor.offset).toBe(4);
        });
      });
    }
  });
}

function alarmOf(n: number, eventId?: string): NewAlarm {
  return {
    json: JSON.stringify({ n }),
    fields: PLAIN_FIELDS,
    eventId,
  };
}

function conditionOf(n: number, conditionId: string, active: boolean | undefined): NewAlarm {
  const alarm = alarmOf(n);
  return { ...alarm, fields: { ...alarm.fields, conditionId, active } };
}

function numbersIn(entries: readonly AlarmEntry[]): number[] {
  return entries.map(({ json }) => (JSON.parse(json) as { n: number }).n);
}
