import { spawnSync } from 'node:child_process';
import { readdir, readFile, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { LmdbAlarmLog } from '../../src/alarm-log/lmdb.alarm-log.js';
import { Child } from '../support/child.js';
import { alarmOf, LogFolder, RETENTION } from './lmdb.fixture.js';

const FULL_DISK = fileURLToPath(new URL('./full-disk.program.ts', import.meta.url));

/** What the program says of a step; more than these is only compared. */
interface Said {
  readonly message?: string;
  readonly boot?: string;
  readonly state?: { readonly newest: number; readonly fault: string | null };
}

let folder: LogFolder;

beforeEach(async () => {
  folder = await LogFolder.make();
});

afterEach(() => folder.remove());

describe('a damaged file', () => {
  const PAGE = 4096;
  let file: string;
  let sound: Buffer;
  let epoch: string;

  beforeEach(async () => {
    const log = await folder.open();
    ({ epoch } = log.bounds());
    for (let n = 0; n < 20; n++) {
      await log.append(Array.from({ length: 50 }, (_, i) => alarmOf(n, { eventId: `${n}-${i}`, bytes: i * 200 })));
    }
    await log.close();
    file = join(folder.path, 'data.mdb');
    sound = await readFile(file);
  });

  const replaced = (at: number, by: Buffer) =>
    Buffer.concat([sound.subarray(0, at), by, sound.subarray(at + by.length)]);

  test.each<[string, () => Buffer]>([
    ['empty', () => Buffer.alloc(0)],
    ['cut to one byte', () => sound.subarray(0, 1)],
    ['cut in the first page', () => sound.subarray(0, 100)],
    ['cut after the first page', () => sound.subarray(0, PAGE)],
    ['cut in the second page', () => sound.subarray(0, PAGE + 60)],
    ['cut after the meta pages', () => sound.subarray(0, 2 * PAGE)],
    ['cut in the middle', () => sound.subarray(0, sound.length / 2)],
    ['cut in the middle of a page', () => sound.subarray(0, sound.length / 2 + 777)],
    ['short of its last page', () => sound.subarray(0, sound.length - PAGE)],
    ['another format', () => Buffer.from('SQLite format 3\0'.repeat(4096))],
    ['text', () => Buffer.from('{"alarms":[]}\n')],
    ['all zero', () => Buffer.alloc(sound.length)],
    ['all garbage', () => garbage(sound.length)],
    ['garbage behind sound meta pages', () => replaced(2 * PAGE, garbage(sound.length - 2 * PAGE))],
    ['of another version', () => replaced(28, Buffer.from([9, 0, 0, 0]))],
  ])('%s: is moved aside as it is, and a new log begins', async (_, damage) => {
    const damaged = damage();
    await writeFile(file, damaged);
    const log = await folder.open();
    expect(log.setAside).toMatch(/data\.mdb\.damaged-\d{8}T\d{9}Z$/);
    expect((await readFile(log.setAside ?? '')).equals(damaged)).toBe(true);
    expect(log.bounds()).toMatchObject({ oldest: 1, newest: 0 });
    expect(log.bounds().epoch).not.toBe(epoch);
    expect((await log.append([alarmOf(1)]))[0]?.cursor.offset).toBe(1);
  });

  test('each is kept, however many there were', async () => {
    for (let n = 0; n < 3; n++) {
      await writeFile(file, 'damaged');
      await (await folder.open()).close();
    }
    const kept = (await readdir(folder.path)).filter((name) => name.startsWith('data.mdb.damaged-'));
    expect(kept).toHaveLength(3);
  });

  test('the lock file may be damaged: it says nothing about alarms', async () => {
    await writeFile(join(folder.path, 'lock.mdb'), garbage(8272));
    const log = await folder.open();
    expect(log.setAside).toBeUndefined();
    expect(log.bounds()).toMatchObject({ epoch, newest: 1000 });
  });

  test('a file that is sound is left alone, also with space at its end', async () => {
    await truncate(file, sound.length + 10 * PAGE);
    const log = await folder.open();
    expect(log.setAside).toBeUndefined();
    expect(log.bounds()).toMatchObject({ epoch, newest: 1000 });
    expect(await log.read(990, 100)).toHaveLength(10);
  });

  test('a path that is a file is refused with what to do', async () => {
    await expect(LmdbAlarmLog.open({ path: file, retention: RETENTION })).rejects.toThrow(/alarmLogPath/);
  });
});

describe('a full disk', () => {
  const disk = { isMounted: false };

  beforeEach(() => {
    const mount = spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=6m', 'tmpfs', folder.path], { encoding: 'utf8' });
    disk.isMounted = mount.status === 0;
    if (disk.isMounted) return;
    const why = `NOT TESTED: a full disk; a small tmpfs cannot be mounted here (${mount.error?.message ?? mount.stderr.trim()})`;
    if (process.env.CI === 'true') throw new Error(why);
    process.stderr.write(`${why}\n`);
  });

  afterEach(() => {
    if (disk.isMounted) spawnSync('umount', ['--lazy', folder.path]);
  });

  test('what is refused is not stored, reading goes on, and so does the log when there is room', async () => {
    if (!disk.isMounted) return;
    // A process of its own: it ends with code 0 only if no rejection went unhandled.
    const child = Child.node(FULL_DISK, [], { ALARM_LOG_PATH: folder.path });
    const said = async (step: string): Promise<Said> => {
      return JSON.parse((await child.line(new RegExp(`^${step} (.*)$`)))[1] ?? '') as Said;
    };

    const refused = await said('refused');
    expect(refused).toMatchObject({ name: 'AlarmNotAcceptedError', outcome: 'rejected' });
    expect(refused.message).toContain('the disk of the alarm log is full');
    const { state } = refused;
    const newest = state?.newest ?? 0;
    expect(state?.fault).toContain('full');
    expect(newest).toBeGreaterThanOrEqual(2);
    expect(state).toMatchObject({ oldest: 1, read: [newest] });
    expect(await said('refused-again')).toMatchObject({ count: 5, state });
    expect(await said('accepted')).toMatchObject({
      offset: newest + 1,
      duplicate: false,
      state: { oldest: 1, newest: newest + 1, fault: null, read: [newest + 1] },
    });
    expect(await said('trimmed')).toEqual({ isFaulty: true, fault: null });
    const reopened = await said('reopened');
    expect(reopened).toMatchObject({ isSame: true, setAside: null });
    expect(reopened.boot).toMatch(/full: free some space/);
    expect(await child.exited).toEqual({ code: 0, signal: null });
  });
});

function garbage(bytes: number): Buffer {
  return Buffer.from(Array.from({ length: bytes }, (_, i) => (i * 167 + 13) % 256));
}
