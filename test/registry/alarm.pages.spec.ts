import { afterEach, beforeEach, describe, expect, jest, test } from '@jest/globals';
import { Logger } from '@nestjs/common';
import type { AlarmLog } from '../../src/alarm-log/alarm-log.js';
import type { AlarmPage, LoggedAlarm } from '../../src/fan-out/alarm.source.js';
import { resolvePushOptions } from '../../src/push.options.js';
import { AlarmPages } from '../../src/registry/alarm.pages.js';
import { LossyLog, newAlarm, newAlarms, WatchedLog } from './alarm.fixture.js';

const KIB = 1024;

const open = new Set<AlarmPages>();

beforeEach(() => Logger.overrideLogger(false));

afterEach(() => {
  for (const pages of open) pages.close();
  open.clear();
  jest.useRealTimers();
  Logger.overrideLogger(['log', 'error', 'warn', 'debug', 'verbose', 'fatal']);
});

/** Open at the end of the log. */
function pagesOf(log: AlarmLog): AlarmPages {
  const pages = new AlarmPages(log, resolvePushOptions({}));
  pages.open();
  open.add(pages);
  return pages;
}

/** Pages that were open before anything was appended, and have been shown all of it. */
async function followed(log: WatchedLog, count: number, bytes?: number): Promise<AlarmPages> {
  const pages = pagesOf(log);
  await log.append(newAlarms(1, count, {}, bytes));
  for (let offset = 0; offset < count; offset = pages.head) {
    for (const entry of await log.read(offset, 200)) pages.advance(entry);
  }
  log.reads.length = 0;
  return pages;
}

/** What comes after this offset, read first where it has to be. */
async function pageAfter(pages: AlarmPages, offset: number): Promise<readonly LoggedAlarm[]> {
  for (let attempt = 0; attempt < 5; attempt++) {
    const page = await new Promise<AlarmPage | undefined>((resolve) => {
      const atOnce = pages.after(offset, () => resolve(undefined));
      if (atOnce !== undefined) resolve(atOnce);
    });
    if (page !== undefined) return page.alarms;
  }
  throw new Error(`no page after ${offset}, however often it is read`);
}

const offsetsOf = (page: AlarmPage | readonly LoggedAlarm[] | undefined) =>
  (page !== undefined && 'alarms' in page ? page.alarms : page)?.map(({ offset }) => offset);
const numbers = (from: number, to: number) => Array.from({ length: to - from + 1 }, (_, i) => from + i);
const textOf = (frame: { plainText: string }) => JSON.parse(frame.plainText) as unknown;

describe('AlarmPages', () => {
  test('begins at the end of the log, after which there is nothing', async () => {
    const log = new WatchedLog();
    await log.append(newAlarms(1, 3));
    const pages = pagesOf(log);
    expect(pages.head).toBe(3);
    expect(pages.headCursor).toBe(`${log.bounds().epoch}.3`);
    expect(offsetsOf(pages.after(3, () => {}))).toEqual([]);
    expect(offsetsOf(pages.after(7, () => {}))).toEqual([]);
    expect(log.reads).toEqual([]);
  });

  test('of the newest nothing is read again', async () => {
    const log = new WatchedLog();
    const pages = await followed(log, 500);
    expect(offsetsOf(pages.after(499, () => {}))).toEqual([500]);
    expect(offsetsOf(pages.after(0, () => {}))).toEqual(numbers(1, 200));
    expect(offsetsOf(pages.after(450, () => {}))).toEqual(numbers(451, 500));
    expect(log.reads).toEqual([]);
  });

  test('what is older is read, once for all who need a part of the page', async () => {
    const log = new WatchedLog();
    await log.append(newAlarms(1, 500));
    const pages = pagesOf(log);
    const all = await Promise.all([0, 1, 150, 199].map(async (offset) => offsetsOf(await pageAfter(pages, offset))));
    expect(all).toEqual([0, 1, 150, 199].map((offset) => numbers(offset + 1, 200)));
    expect(offsetsOf(await pageAfter(pages, 77))).toEqual(numbers(78, 200));
    expect(log.reads).toEqual([0]);
    expect(offsetsOf(await pageAfter(pages, 200))).toEqual(numbers(201, 400));
    expect(log.reads).toEqual([0, 200]);
  });

  test('a page that was empty says nothing of what came after it was read', async () => {
    const log = new LossyLog();
    await log.append(newAlarms(1, 3));
    log.remove(1, 2, 3);
    const pages = pagesOf(log);
    expect(await pageAfter(pages, 0)).toEqual([]);
    await log.append(newAlarms(4, 5));
    for (const entry of await log.read(3, 10)) pages.advance(entry);
    expect(pages.after(0, () => {})).toMatchObject({ alarms: [], end: 3 });
    expect(offsetsOf(pages.after(3, () => {}))).toEqual([4, 5]);
  });

  test('shows nothing beyond the head, also where the log is further', async () => {
    const log = new WatchedLog();
    await log.append(newAlarms(1, 10));
    const pages = pagesOf(log);
    await log.append(newAlarms(11, 20));
    expect(offsetsOf(await pageAfter(pages, 4))).toEqual(numbers(5, 10));
    for (const entry of await log.read(10, 200)) pages.advance(entry);
    expect(offsetsOf(await pageAfter(pages, 4))).toEqual(numbers(5, 20));
    expect(offsetsOf(await pageAfter(pages, 15))).toEqual(numbers(16, 20));
  });

  test('begins with the oldest that is left', async () => {
    const log = new WatchedLog({ count: 30 });
    await log.append(newAlarms(1, 100));
    const pages = pagesOf(log);
    expect(offsetsOf(await pageAfter(pages, 0))).toEqual(numbers(71, 100));
    expect(offsetsOf(await pageAfter(pages, 70))).toEqual(numbers(71, 100));
    expect(offsetsOf(await pageAfter(pages, 98))).toEqual([99, 100]);
  });

  test('gives nothing where all up to the head is gone', async () => {
    const log = new WatchedLog({ count: 5 });
    await log.append(newAlarms(1, 10));
    const pages = pagesOf(log);
    await log.append(newAlarms(11, 20));
    expect(log.bounds().oldest).toBe(16);
    expect(offsetsOf(pages.after(3, () => {}))).toEqual([]);
    expect(log.reads).toEqual([]);
  });

  test('an alarm that does not follow the one before begins anew', async () => {
    const log = new WatchedLog({ count: 5 });
    const pages = await followed(log, 3);
    await log.append(newAlarms(4, 20));
    for (const entry of await log.read(3, 200)) pages.advance(entry);
    expect(pages.head).toBe(20);
    expect(offsetsOf(await pageAfter(pages, 2))).toEqual(numbers(16, 20));
    expect(offsetsOf(pages.after(17, () => {}))).toEqual([18, 19, 20]);
  });

  test('large alarms make short pages, and each begins where it was asked for', async () => {
    const log = new WatchedLog();
    await log.append(newAlarms(1, 100, {}, 60 * KIB));
    const pages = pagesOf(log);
    for (const offset of [90, 10, 0, 50, 17, 99]) {
      expect((await pageAfter(pages, offset))[0]?.offset).toBe(offset + 1);
    }
  });

  test('two who ask at once for the beginning and the end of large alarms get what they asked for', async () => {
    const log = new WatchedLog();
    await log.append(newAlarms(1, 100, {}, 60 * KIB));
    const pages = pagesOf(log);
    const firsts = await Promise.all([90, 3, 60].map(async (offset) => (await pageAfter(pages, offset))[0]?.offset));
    expect(firsts).toEqual([91, 4, 61]);
  });

  test('keeps pages up to a limit, the least recently used go first', async () => {
    const log = new WatchedLog();
    // 200 of them are a page of some 250 KiB.
    await log.append(newAlarms(1, 2400, {}, 1250));
    const pages = pagesOf(log);
    for (let page = 0; page < 8; page++) await pageAfter(pages, page * 200);
    expect(log.reads).toHaveLength(8);
    await pageAfter(pages, 0);
    expect(log.reads).toHaveLength(8);
    for (let page = 8; page < 12; page++) await pageAfter(pages, page * 200);
    expect(log.reads).toHaveLength(12);
    await pageAfter(pages, 0);
    expect(log.reads).toHaveLength(12);
    await pageAfter(pages, 200);
    expect(log.reads).toHaveLength(13);
  });

  test('a read that fails is tried again after a second', async () => {
    jest.useFakeTimers({ doNotFake: ['setImmediate', 'nextTick'] });
    const log = new WatchedLog();
    await log.append(newAlarms(1, 10));
    const pages = pagesOf(log);
    log.failures = 1;
    const woken = jest.fn();
    expect(pages.after(0, woken)).toBeUndefined();
    await jest.advanceTimersByTimeAsync(999);
    expect(woken).not.toHaveBeenCalled();
    await jest.advanceTimersByTimeAsync(1);
    expect(woken).toHaveBeenCalledTimes(1);
    expect(offsetsOf(await pageAfter(pages, 0))).toEqual(numbers(1, 10));
    expect(jest.getTimerCount()).toBe(0);
  });

  test('its end leaves nothing behind', async () => {
    jest.useFakeTimers({ doNotFake: ['setImmediate', 'nextTick'] });
    const log = new WatchedLog();
    await log.append(newAlarms(1, 1000));
    const pages = pagesOf(log);
    const woken = jest.fn();
    log.failures = 1;
    pages.after(0, woken);
    await jest.advanceTimersByTimeAsync(1);
    expect(jest.getTimerCount()).toBe(1);
    pages.close();
    expect(jest.getTimerCount()).toBe(0);
    await jest.advanceTimersByTimeAsync(5000);
    expect(woken).not.toHaveBeenCalled();
  });

  test('a read that fails behind its end leaves nothing behind', async () => {
    jest.useFakeTimers({ doNotFake: ['setImmediate', 'nextTick'] });
    const log = new WatchedLog();
    await log.append(newAlarms(1, 10));
    const pages = pagesOf(log);
    log.failures = 1;
    pages.after(0, () => {});
    pages.close();
    await jest.advanceTimersByTimeAsync(1);
    expect(jest.getTimerCount()).toBe(0);
  });

  test('frames an alarm with its cursor, a place and a gap', async () => {
    const log = new WatchedLog();
    const pages = await followed(log, 2);
    const { epoch } = log.bounds();
    const [alarm] = pages.after(1, () => {})?.alarms ?? [];
    expect(alarm?.frame.plainText).toBe(newAlarm(2).json);
    expect(alarm?.frame.bytes(1).subarray(2).toString()).toBe(
      `{"event":"alarm","id":"${epoch}.2","data":${newAlarm(2).json}}`,
    );
    expect(alarm?.frame.resumesAfter).toBe(1);
    expect(alarm?.address).toMatchObject({ businessId: '1' });
    expect(textOf(pages.positionFrame(2))).toEqual({ event: 'heartbeat', id: `${epoch}.2`, data: {} });
    expect(pages.positionFrame(2)).toBe(pages.positionFrame(2));
    expect(pages.positionFrame(1).resumesAfter).toBe(1);
    expect(textOf(pages.gapFrame(4, 9))).toEqual({
      event: 'gap',
      data: { requested: `${epoch}.4`, oldest: `${epoch}.9`, reason: 'retention' },
    });
  });
});
