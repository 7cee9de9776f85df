import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, jest, test } from '@jest/globals';
import { open as openLmdb } from 'lmdb';
import { LmdbAlarmLog } from '../../src/alarm-log/lmdb.alarm-log.js';
import { LmdbEnvironment } from '../../src/alarm-log/lmdb.environment.js';
import { AlarmNotAcceptedError, PushConfigurationError } from '../../src/push.errors.js';
import { Child } from '../support/child.js';
import { until } from '../support/deadline.js';
import { alarmOf, LogFolder, RETENTION } from './lmdb.fixture.js';

const HOLD = fileURLToPath(new URL('./hold.program.ts', import.meta.url));
const APPEND = fileURLToPath(new URL('./append.program.ts', import.meta.url));

let folder: LogFolder;

beforeEach(async () => {
  folder = await LogFolder.make();
});

afterEach(() => folder.remove());

describe('LmdbAlarmLog', () => {
  test('outlives the process', async () => {
    expect((await folder.open()).isDurable).toBe(true);
  });

  test('offsets go up to 2^53', async () => {
    const newest = Number.MAX_SAFE_INTEGER - 4;
    const environment = await LmdbEnvironment.open(folder.path);
    const heads = environment.database<Buffer, string>('alarm-head', 'binary');
    const head = Buffer.from(new Float64Array([newest + 1, newest, 0]).buffer);
    await environment.commit(() => heads.putSync('head', head));
    await environment.close();
    const log = await folder.open();
    await log.append([alarmOf(1), alarmOf(2, { eventId: 'e2' }), alarmOf(3), alarmOf(4)]);
    expect((await log.read(newest, 10)).map(({ offset }) => offset - newest)).toEqual([1, 2, 3, 4]);
    expect((await log.append([alarmOf(2, { eventId: 'e2' })]))[0]?.cursor.offset).toBe(newest + 2);
    expect(log.bounds().newest).toBe(Number.MAX_SAFE_INTEGER);
  });

  test('removes in the background what has become too old', async () => {
    const real = { doNotFake: ['nextTick', 'setImmediate', 'queueMicrotask', 'performance', 'Date'] as const };
    jest.useFakeTimers({ doNotFake: [...real.doNotFake] });
    try {
      let nowMs = Date.UTC(2030, 0, 1);
      const log = await folder.open({ retention: { ...RETENTION, hours: 1 }, now: () => nowMs });
      await log.append(Array.from({ length: 1200 }, (_, n) => alarmOf(n)));
      nowMs += 2 * 3_600_000;
      jest.advanceTimersByTime(11_000);
      await until(() => log.bounds().oldest === 1201, 'all that is too old is gone');
      expect(log.fault).toBeUndefined();
    } finally {
      jest.useRealTimers();
    }
  });

  test('refuses what comes after it was closed', async () => {
    const log = await folder.open();
    const appended = log.append([alarmOf(1)]);
    await log.close();
    expect((await appended)[0]?.cursor.offset).toBe(1);
    await expect(log.append([alarmOf(2)])).rejects.toMatchObject({ outcome: 'rejected' });
  });

  test('leaves an environment that it shares open', async () => {
    const environment = await LmdbEnvironment.open(folder.path);
    const log = await LmdbAlarmLog.open({ environment, retention: RETENTION });
    await log.append([alarmOf(1)]);
    await log.close();
    expect(await environment.commit(() => 'still here')).toBe('still here');
    await environment.close();
  });
});

describe('LmdbEnvironment', () => {
  test('works that wait share few commits', async () => {
    const environment = await LmdbEnvironment.open(folder.path);
    const database = environment.database<number, number>('numbers', 'ordered-binary');
    const transactions = await Promise.all(
      Array.from({ length: 500 }, (_, n) =>
        environment.commit(() => {
          database.putSync(n, n);
          return database.getWriteTxnId();
        }),
      ),
    );
    expect(new Set(transactions).size).toBeLessThan(20);
    expect(transactions).toEqual(transactions.toSorted((a, b) => a - b));
    await environment.close();
  });

  test('a work that throws before it writes rejects its caller alone', async () => {
    const environment = await LmdbEnvironment.open(folder.path);
    const outcomes = await Promise.allSettled([
      environment.commit(() => 1),
      environment.commit(() => {
        throw new TypeError('own');
      }),
      environment.commit(() => 3),
    ]);
    expect(outcomes.map(({ status }) => status)).toEqual(['fulfilled', 'rejected', 'fulfilled']);
    expect(outcomes[1]).toMatchObject({ reason: new TypeError('own') });
    expect(environment.fault).toBeUndefined();
    await environment.close();
  });

  test('waits for what was queued before it closes', async () => {
    const environment = await LmdbEnvironment.open(folder.path);
    const queued = environment.commit(() => 'done');
    await environment.close();
    expect(await queued).toBe('done');
    await expect(environment.commit(() => 'late')).rejects.toBeInstanceOf(AlarmNotAcceptedError);
  });
});

describe('one process has the folder', () => {
  test('a second opening in the same process is refused', async () => {
    await folder.open();
    await expect(folder.open()).rejects.toThrow(/in use by another process, or by another PushModule/);
    await expect(folder.open()).rejects.toBeInstanceOf(PushConfigurationError);
  });

  test('another process is refused, and has it as soon as the first lets go', async () => {
    const log = await folder.open();
    const { epoch } = log.bounds();
    const refused = Child.node(HOLD, [], { ALARM_LOG_PATH: folder.path });
    expect((await refused.line(/^refused (.*)$/))[1]).toContain('in use by another process');
    await log.close();
    const second = Child.node(HOLD, [], { ALARM_LOG_PATH: folder.path });
    expect((await second.line(/^opened (.*)$/))[1]).toBe(epoch);
    await expect(folder.open()).rejects.toBeInstanceOf(PushConfigurationError);
    second.kill('SIGKILL');
    await second.exited;
    expect((await folder.open()).bounds().epoch).toBe(epoch);
  });

  test('one that was taken over without seeing it stores nothing more', async () => {
    const log = await folder.open();
    await log.append([alarmOf(1)]);
    const other = openLmdb({ path: folder.path, noSubdir: false, overlappingSync: false, eventTurnBatching: false });
    await other.openDB<string, string>('about', { encoding: 'string' }).put('owner', 'another');
    await expect(log.append([alarmOf(2)])).rejects.toMatchObject({ outcome: 'rejected' });
    expect(log.fault).toMatch(/another process/);
    expect(log.bounds().newest).toBe(1);
    expect(await log.read(0, 10)).toHaveLength(1);
  });
});

describe('kill -9 in the middle of appends', () => {
  test('every alarm that was accepted is there, five times over', async () => {
    const accepted = new Map<number, string>();
    for (let round = 1; round <= 5; round++) {
      const child = Child.node(APPEND, [], { ALARM_LOG_PATH: folder.path });
      for (let n = 0; n < 300 + 37 * round; n++) note(await child.line(ACCEPTED));
      child.kill('SIGKILL');
      expect(await child.exited).toMatchObject({ signal: 'SIGKILL' });
      for await (const line of rest(child)) note(line);
      const log = await folder.open();
      const found = await all(log);
      expect(found.map(({ offset }) => offset)).toEqual(found.map((_, i) => i + 1));
      for (const [offset, eventId] of accepted) {
        expect(JSON.parse(found[offset - 1]?.json ?? '{}')).toMatchObject({ eventId });
      }
      expect(await log.active()).toHaveLength(16);
      expect(log.setAside).toBeUndefined();
      await log.close();
    }
    expect(accepted.size).toBeGreaterThan(5 * 300);

    function note([, offset, eventId = '']: RegExpExecArray): void {
      accepted.set(Number(offset), eventId);
    }
  }, 60_000);
});

const ACCEPTED = /^accepted (\d+) (\S+)$/;

/** What the child, which has ended, had still said. */
async function* rest(child: Child): AsyncGenerator<RegExpExecArray> {
  for (;;) {
    const line = await child.line(ACCEPTED).catch((cause: Error) => {
      if (cause.message.startsWith('the child ended')) return undefined;
      throw cause;
    });
    if (line === undefined) return;
    yield line;
  }
}

async function all(log: LmdbAlarmLog) {
  const found = [];
  for (;;) {
    const page = await log.read(found.length, 500);
    if (page.length === 0) return found;
    found.push(...page);
  }
}
