import { readFileSync } from 'node:fs';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import type { NewAlarm } from '../../src/alarm-log/alarm-log.js';
import { RedisAlarmLog, type RedisAlarmLogOptions } from '../../src/alarm-log/redis.alarm-log.js';
import { AlarmNotAcceptedError, PushConfigurationError } from '../../src/push.errors.js';
import { RIGHTS_SCRIPT, STATE_SCRIPT } from '../../src/alarm-log/redis.alarm-log.scripts.js';
import { RedisLogState } from '../../src/alarm-log/redis.log-state.js';
import { RedisConnection } from '../../src/redis/redis.connection.js';
import { until, within } from '../support/deadline.js';
import { describeWithRedis, RedisServer, type RedisServerOptions } from '../support/redis.server.js';
import { PLAIN_FIELDS } from '../support/alarm.fields.js';

const RETENTION = { count: 100_000, hours: 168, bytes: 1024 * 1024 * 1024 };

function alarmOf(n: number, eventId?: string, bytes = 0): NewAlarm {
  const fields = PLAIN_FIELDS;
  return { json: JSON.stringify({ n, ...(bytes > 0 ? { p: 'x'.repeat(bytes) } : {}) }), fields, eventId };
}

/** `accepted`, what an AlarmNotAcceptedError says, or another error. */
async function outcomeOf(append: Promise<unknown>): Promise<unknown> {
  try {
    await append;
    return 'accepted';
  } catch (cause) {
    return cause instanceof AlarmNotAcceptedError ? cause.outcome : cause;
  }
}

/** The log of one node. */
interface LogOfNode {
  readonly log: RedisAlarmLog;
  readonly connection: RedisConnection;
  readonly warnings: string[];
}

describeWithRedis('RedisAlarmLog', () => {
  let server: RedisServer;
  const nodes: LogOfNode[] = [];
  /** Connections without a log. */
  const others: RedisConnection[] = [];

  const start = async (settings?: RedisServerOptions['settings']) => {
    server = await RedisServer.start(settings === undefined ? {} : { settings });
  };

  const openLog = async (options: Partial<RedisAlarmLogOptions> = {}): Promise<LogOfNode> => {
    const connection = await RedisConnection.open({ url: server.url, prefix: 'p' });
    const warnings: string[] = [];
    try {
      const log = await RedisAlarmLog.open({
        connection,
        retention: RETENTION,
        onWarning: (warning) => warnings.push(warning),
        ...options,
      });
      const node = { log, connection, warnings };
      nodes.push(node);
      return node;
    } catch (cause) {
      connection.close();
      throw cause;
    }
  };

  const endNode = async (node: LogOfNode) => {
    nodes.splice(nodes.indexOf(node), 1);
    await node.log.close();
    node.connection.close();
  };

  const allOf = async ({ log }: LogOfNode) => (await log.read(0, 1000)).map(({ offset, json }) => [offset, json]);
  const isUp = ({ connection }: LogOfNode) => until(() => connection.commands.isUp, 'the link is up', 10_000);

  afterEach(async () => {
    server.signal('SIGCONT');
    await server.stop();
    await Promise.all([...nodes].map(endNode));
    for (const connection of others.splice(0)) connection.close();
  });

  describe('on two nodes', () => {
    let a: LogOfNode;
    let b: LogOfNode;

    beforeEach(async () => {
      // With `everysec` what was accepted may be in no file yet when Redis is killed, where the disk is slow.
      await start({ appendfsync: 'always' });
      a = await openLog();
      b = await openLog();
    });

    test('is one log: its offsets are contiguous whoever appends, and each has all of them', async () => {
      const batches = Array.from({ length: 200 }, (_, i) => (i % 2 === 0 ? a : b).log.append([alarmOf(i), alarmOf(i)]));
      const receipts = (await Promise.all(batches)).flat();
      const offsets = receipts.map(({ cursor }) => cursor.offset).toSorted((one, other) => one - other);
      expect(offsets).toEqual(Array.from({ length: 400 }, (_, i) => i + 1));
      expect(new Set(receipts.map(({ cursor }) => cursor.epoch))).toEqual(new Set([a.log.bounds().epoch]));
      expect(await allOf(a)).toHaveLength(400);
      expect(await allOf(b)).toEqual(await allOf(a));
      expect(b.log.bounds()).toEqual(a.log.bounds());
    });

    test('each is told at once what the other has appended', async () => {
      const delaysMs: number[] = [];
      for (let n = 1; n <= 50; n++) {
        const [from, to] = n % 2 === 0 ? [a.log, b.log] : [b.log, a.log];
        const heard = new Promise<number>((resolve) => {
          const stop = to.onAppended(() => {
            if (to.bounds().newest < n) return;
            stop();
            resolve(performance.now());
          });
        });
        await from.append([alarmOf(n)]);
        const atMs = performance.now();
        delaysMs.push((await within(heard, 'the other is told')) - atMs);
      }
      // Far below the second that a look takes at the latest.
      expect(delaysMs.toSorted((one, other) => one - other)[25]).toBeLessThan(200);
    });

    test('an eventId counts on both', async () => {
      const [first] = await a.log.append([alarmOf(1, 'e1')]);
      expect(await b.log.append([alarmOf(1, 'e1')])).toEqual([{ cursor: first?.cursor, duplicate: true }]);
      await expect(b.log.append([alarmOf(2, 'e1')])).rejects.toMatchObject({ code: 'eventIdConflict', eventId: 'e1' });
    });

    test('what one has not heard of yet it finds when it asks', async () => {
      await a.log.append([alarmOf(1)]);
      expect((await b.log.refresh()).newest).toBe(1);
      expect(b.log.bounds()).toEqual(a.log.bounds());
    });

    test('FLUSHALL is the end of the epoch, on both, and within two seconds', async () => {
      await a.log.append([alarmOf(1), alarmOf(2)]);
      await b.log.refresh();
      const { epoch } = a.log.bounds();
      const told = [a, b].map(
        ({ log }) => new Promise<string>((resolve) => log.onAppended(() => resolve(log.bounds().epoch))),
      );
      await server.command('FLUSHALL');
      const [epochOfA, epochOfB] = await within(Promise.all(told), 'both are told', 2000);
      expect(epochOfA).not.toBe(epoch);
      expect(epochOfB).toBe(epochOfA);
      expect(a.log.bounds()).toMatchObject({ oldest: 1, newest: 0 });
      expect((await b.log.append([alarmOf(3)]))[0]?.cursor).toEqual({ epoch: epochOfA, offset: 1 });
    });

    test('an append is the first to notice that the log is gone', async () => {
      await a.log.append([alarmOf(1, 'e1')]);
      const { epoch } = a.log.bounds();
      await server.command('FLUSHALL');
      const [receipt] = await a.log.append([alarmOf(1, 'e1')]);
      expect(receipt).toMatchObject({ duplicate: false, cursor: { offset: 1 } });
      expect(receipt?.cursor.epoch).not.toBe(epoch);
      expect(a.log.bounds()).toEqual({ epoch: receipt?.cursor.epoch, oldest: 1, newest: 1 });
    });

    test('a log that goes back to an earlier state begins an epoch with what it has', async () => {
      await a.log.append([alarmOf(1), alarmOf(2, 'e2')]);
      server.backUp();
      await a.log.append([alarmOf(3), alarmOf(4)]);
      const { epoch } = await b.log.refresh();
      await server.kill();
      server.goBack();
      await server.restart();
      await Promise.all([isUp(a), isUp(b)]);
      await until(() => a.log.bounds().epoch !== epoch && b.log.bounds().epoch !== epoch, 'both are told');
      expect(a.log.bounds()).toMatchObject({ oldest: 1, newest: 2 });
      expect(await b.log.refresh()).toEqual(await a.log.refresh());
      expect((await allOf(a)).map(([offset]) => offset)).toEqual([1, 2]);
      const after = a.log.bounds().epoch;
      expect(await b.log.append([alarmOf(2, 'e2'), alarmOf(30)])).toEqual([
        { cursor: { epoch: after, offset: 2 }, duplicate: true },
        { cursor: { epoch: after, offset: 3 }, duplicate: false },
      ]);
    });

    test('kill -9 and a restart lose nothing, and change nothing', async () => {
      await a.log.append([alarmOf(1), alarmOf(2)]);
      const before = await b.log.refresh();
      await server.kill();
      await server.restart();
      await Promise.all([isUp(a), isUp(b)]);
      expect(await b.log.refresh()).toEqual(before);
      expect((await a.log.append([alarmOf(3)]))[0]?.cursor).toEqual({ epoch: before.epoch, offset: 3 });
    });

    test('a head that is lost leaves the alarms, in another epoch', async () => {
      await a.log.append([alarmOf(1), alarmOf(2, 'e2')]);
      const { epoch } = a.log.bounds();
      await server.command('DEL', a.connection.key('alarms', 'head'));
      expect(await a.log.refresh()).toMatchObject({ oldest: 1, newest: 2 });
      expect(a.log.bounds().epoch).not.toBe(epoch);
      expect((await b.log.append([alarmOf(2, 'e2'), alarmOf(3)])).map(({ cursor }) => cursor.offset)).toEqual([2, 3]);
    });

    test('a stream that is lost takes its event ids along', async () => {
      await a.log.append([alarmOf(1, 'e1')]);
      await server.command('DEL', a.connection.key('alarms'), a.connection.key('alarms', 'head'));
      expect((await a.log.append([alarmOf(9, 'e1')]))[0]).toMatchObject({ duplicate: false, cursor: { offset: 1 } });
    });
  });

  describe('where Redis does not answer', () => {
    let node: LogOfNode;
    beforeEach(async () => {
      await start();
      node = await openLog();
    });

    test('what was sent is unknown after 5 s, what waits is rejected, and a retry stores it once', async () => {
      await node.log.append([alarmOf(0)]);
      server.signal('SIGSTOP');
      const startedAtMs = performance.now();
      const sent = outcomeOf(node.log.append([alarmOf(1, 'e1')]));
      await new Promise((resolve) => setImmediate(resolve));
      const waits = outcomeOf(node.log.append([alarmOf(2, 'e2')]));
      expect(await sent).toBe('unknown');
      expect(await waits).toBe('rejected');
      expect(performance.now() - startedAtMs).toBeLessThan(6000);
      expect(node.log.fault).toBeDefined();
      server.signal('SIGCONT');
      await until(() => node.log.fault === undefined, 'the fault goes', 10_000);
      await node.log.append([alarmOf(1, 'e1'), alarmOf(2, 'e2')]);
      expect((await allOf(node)).map(([, json]) => json)).toEqual([0, 1, 2].map((n) => JSON.stringify({ n })));
    }, 30_000);

    test('CLIENT PAUSE: each append is accepted or not, in time, and a retry stores it once', async () => {
      await server.command('CLIENT', 'PAUSE', '7000', 'WRITE');
      const outcomes = await Promise.all([1, 2, 3].map((n) => outcomeOf(node.log.append([alarmOf(n, `e${n}`)]))));
      expect(outcomes.every((outcome) => outcome === 'unknown' || outcome === 'rejected')).toBe(true);
      expect(node.log.fault).toBeDefined();
      await until(() => node.log.fault === undefined, 'the fault goes', 12_000);
      await node.log.append([1, 2, 3].map((n) => alarmOf(n, `e${n}`)));
      expect((await allOf(node)).map(([offset]) => offset)).toEqual([1, 2, 3]);
    }, 30_000);

    test('a connection that is lost leaves what was sent unknown, and nothing else', async () => {
      server.signal('SIGSTOP');
      const sent = outcomeOf(node.log.append([alarmOf(1)]));
      await new Promise((resolve) => setImmediate(resolve));
      await new Promise((resolve) => setImmediate(resolve));
      await server.kill();
      expect(await within(sent, 'the append ends', 2000)).toBe('unknown');
      expect(await outcomeOf(node.log.append([alarmOf(2)]))).toBe('rejected');
      expect(node.log.fault).toBeDefined();
      await server.restart();
      await until(() => node.log.fault === undefined, 'the fault goes', 10_000);
    });

    test('nobody has to append for the fault to come and go', async () => {
      server.signal('SIGSTOP');
      await until(() => node.log.fault !== undefined, 'the fault comes', 10_000);
      server.signal('SIGCONT');
      await until(() => node.log.fault === undefined, 'the fault goes', 10_000);
      expect(await outcomeOf(node.log.append([alarmOf(1)]))).toBe('accepted');
    }, 25_000);
  });

  describe('where Redis refuses', () => {
    let node: LogOfNode;
    beforeEach(async () => {
      await start();
      node = await openLog();
    });

    test.each<[string, RegExp, readonly string[], readonly string[]]>([
      ['too little memory', /OOM/, ['CONFIG', 'SET', 'maxmemory', '1'], ['CONFIG', 'SET', 'maxmemory', '0']],
      [
        'too few replicas',
        /NOREPLICAS/,
        ['CONFIG', 'SET', 'min-replicas-to-write', '1'],
        ['CONFIG', 'SET', 'min-replicas-to-write', '0'],
      ],
      [
        'rights that are missing',
        // Of Redis 7.0, and of later ones and Valkey.
        /can't run this command|has no permissions to run/,
        ['ACL', 'SETUSER', 'default', '-xadd', '-hset'],
        ['ACL', 'SETUSER', 'default', '+@all'],
      ],
    ])('with %s, alarms are rejected until it takes them again', async (_, error, refuse, allow) => {
      await node.log.append([alarmOf(1)]);
      await server.command(...refuse);
      expect(await outcomeOf(node.log.append([alarmOf(2, 'e2')]))).toBe('rejected');
      expect(node.log.fault).toMatch(error);
      expect((await allOf(node)).map(([offset]) => offset)).toEqual([1]);
      await server.command(...allow);
      await until(() => node.log.fault === undefined, 'the fault goes', 10_000);
      expect(await node.log.append([alarmOf(2, 'e2')])).toMatchObject([{ duplicate: false, cursor: { offset: 2 } }]);
    });
  });

  describe('what Redis promises', () => {
    test('with an append-only file and without eviction: everything', async () => {
      await start();
      const { log, warnings } = await openLog({ requireDurable: true });
      expect(log.isDurable).toBe(true);
      expect(warnings).toEqual([]);
    });

    test.each<[string, Record<string, string>, string]>([
      ['without an append-only file', { appendonly: 'no' }, 'appendonly yes'],
      ['with snapshots alone', { appendonly: 'no', save: '60 1' }, 'appendonly yes'],
      ['with eviction', { 'maxmemory-policy': 'allkeys-lru' }, 'maxmemory-policy noeviction'],
    ])('%s: less, and it says what to change', async (_, settings, change) => {
      await start(settings);
      const { log, warnings } = await openLog();
      expect(log.isDurable).toBe(false);
      expect(warnings).toEqual([expect.stringContaining(change)]);
      const refused: unknown = await openLog({ requireDurable: true }).catch((cause: unknown) => cause);
      expect(refused).toBeInstanceOf(PushConfigurationError);
      expect(String(refused)).toContain(change);
    });

    test('without fsync: all but what the machine takes along', async () => {
      await start({ appendfsync: 'no' });
      const { log, warnings } = await openLog({ requireDurable: true });
      expect(log.isDurable).toBe(true);
      expect(warnings).toEqual([expect.stringContaining('appendfsync')]);
    });

    test('where CONFIG may not be asked, the rest is known all the same', async () => {
      await start();
      await server.command('ACL', 'SETUSER', 'default', '-config');
      expect((await openLog()).log.isDurable).toBe(true);
    });

    test('is watched: what is set while it runs is told, and when it is undone', async () => {
      await start();
      const { log, warnings } = await openLog({ lookAfterIntervalMs: 100 });
      await server.command('CONFIG', 'SET', 'maxmemory-policy', 'allkeys-lfu');
      await until(() => !log.isDurable, 'it is noticed');
      expect(warnings).toEqual([expect.stringContaining('allkeys-lfu')]);
      await server.command('CONFIG', 'SET', 'maxmemory-policy', 'noeviction');
      await until(() => log.isDurable, 'it is undone');
    });

    test('a user with the rights that docs/OPERATIONS.md names may do all of it', async () => {
      await start();
      const [, rights = ''] = /`(\+@connection [^`]*)`/.exec(readFileSync('docs/OPERATIONS.md', 'utf8')) ?? [];
      await server.command('ACL', 'SETUSER', 'default', 'reset', 'on', 'nopass', '~{p}:*', ...rights.split(' '));
      const { log, warnings } = await openLog({ retention: { count: 2, hours: 1, bytes: 1000 } });
      const condition = { ...alarmOf(1, 'e1'), fields: { ...alarmOf(1).fields, conditionId: 'c', active: true } };
      await log.append([condition, alarmOf(2, 'e2'), alarmOf(3), alarmOf(4)]);
      await log.trim();
      expect(await log.active()).toHaveLength(1);
      expect(await log.read(0, 10)).toHaveLength(2);
      expect([warnings, log.fault]).toEqual([[], undefined]);
    });

    test('a user who may not do all of it is refused', async () => {
      await start();
      await server.command('ACL', 'SETUSER', 'default', '-hdel', '-xtrim');
      await expect(openLog()).rejects.toThrow(/may not HDEL, XTRIM/);
    });
  });

  describe('an alarm that has the offset of one that was lost', () => {
    let a: RedisLogState;
    let connection: RedisConnection;

    /** `a` has seen ten alarms and two more; these are in no file when Redis comes back, nor does `a` ask until later. */
    beforeEach(async () => {
      await start({ appendfsync: 'always' });
      const node = await openLog();
      await node.log.append(Array.from({ length: 10 }, (_, i) => alarmOf(i + 1)));
      server.backUp();
      await node.log.append([alarmOf(11), alarmOf(12)]);
      connection = await RedisConnection.open({ url: server.url, prefix: 'p' });
      others.push(connection);
      a = await RedisLogState.open(connection, 5000);
      await endNode(node);
    });

    const goBack = async () => {
      await server.kill();
      server.goBack();
      await server.restart();
      await until(() => connection.commands.isUp, 'the link is up', 10_000);
      return openLog();
    };
    const epochAfter = async (node: LogOfNode) => {
      const before = a.bounds.epoch;
      await a.ask(STATE_SCRIPT);
      expect(await node.log.refresh()).toEqual(a.bounds);
      return a.bounds.epoch === before ? 'the same' : 'another';
    };

    test.each([1, 2, 3])('ends the epoch, also where %i were appended meanwhile', async (count) => {
      const b = await goBack();
      await b.log.append(Array.from({ length: count }, (_, i) => alarmOf(i + 101)));
      expect(await epochAfter(b)).toBe('another');
      expect(a.bounds).toMatchObject({ oldest: 1, newest: 10 + count });
      expect(await epochAfter(b)).toBe('the same');
      await b.log.append([alarmOf(200)]);
      expect(await epochAfter(b)).toBe('the same');
    });

    test('does not where it was not lost', async () => {
      const b = await openLog();
      expect(await epochAfter(b)).toBe('the same');
      await b.log.append([alarmOf(13), alarmOf(14)]);
      expect(await epochAfter(b)).toBe('the same');
    });

    test('does not where the retention has removed it', async () => {
      const b = await openLog({ retention: { ...RETENTION, count: 2 } });
      await b.log.append([alarmOf(13), alarmOf(14)]);
      await b.log.append([alarmOf(15), alarmOf(16)]);
      await b.log.trim();
      expect(b.log.bounds().oldest).toBeGreaterThan(12);
      expect(await epochAfter(b)).toBe('the same');
    });
  });

  test('an answer that comes after a later one takes nothing back', async () => {
    await start();
    const node = await openLog({ retention: { ...RETENTION, count: 2 } });
    await node.log.append([alarmOf(1)]);
    const connection = await RedisConnection.open({ url: server.url, prefix: 'p' });
    others.push(connection);
    const state = await RedisLogState.open(connection, 5000);
    const run = connection.run.bind(connection);
    const held: (() => void)[] = [];
    Object.assign(connection, {
      run: async (...parameters: Parameters<typeof run>) => {
        const answer = await run(...parameters);
        await new Promise<void>((resolve) => held.push(resolve));
        return answer;
      },
    });
    const late = state.ask(STATE_SCRIPT);
    await until(() => held.length === 1, 'Redis has answered');
    Object.assign(connection, { run });
    await node.log.append([alarmOf(2), alarmOf(3), alarmOf(4)]);
    await state.ask(STATE_SCRIPT);
    const bounds = node.log.bounds();
    expect(state.bounds).toEqual(bounds);
    held.shift()?.();
    await late;
    expect(state.bounds).toEqual(bounds);
  });

  describe('an append that has died half-way', () => {
    test('leaves no alarm that refuses the others, and its retry stores each once', async () => {
      await start();
      const node = await openLog();
      await node.log.append([alarmOf(1)]);
      const batch = [1, 2, 3].map((n) => ({
        ...alarmOf(n, `e${n}`),
        fields: { ...alarmOf(n).fields, conditionId: `c${n}`, active: n !== 3 },
      }));
      await server.command('ACL', 'SETUSER', 'default', '-hset');
      expect(await outcomeOf(node.log.append(batch))).toBe('unknown');
      expect(await server.command('XLEN', node.connection.key('alarms'))).toContain('2');
      // One of them is in the stream from the first time.
      expect(await outcomeOf(node.log.append(batch))).toBe('unknown');
      expect(node.log.fault).toContain('HALFDONE');
      await server.command('ACL', 'SETUSER', 'default', '+@all');
      await node.log.append(batch);
      await node.log.append([alarmOf(4)]);
      expect(await allOf(node)).toEqual([1, 1, 2, 3, 4].map((n, i) => [i + 1, JSON.stringify({ n })]));
      expect((await node.log.active()).map(({ fields }) => fields.conditionId)).toEqual(['c1', 'c2']);
    });
  });

  test('what Redis refuses before anything of it was written is rejected', async () => {
    await start();
    const node = await openLog();
    await node.log.append([alarmOf(1)]);
    await server.command('ACL', 'SETUSER', 'default', '-xadd');
    expect(await outcomeOf(node.log.append([alarmOf(2, 'e2')]))).toBe('rejected');
    await server.command('ACL', 'SETUSER', 'default', '+@all');
    await server.command('CONFIG', 'SET', 'maxmemory', '1');
    expect(await outcomeOf(node.log.append([alarmOf(2, 'e2')]))).toBe('rejected');
    await server.command('CONFIG', 'SET', 'maxmemory', '0');
    expect(await allOf(node)).toEqual([[1, JSON.stringify({ n: 1 })]]);
  });

  test.each([
    "ERR The user executing the script can't run this command or subcommand",
    "NOPERM User default has no permissions to run the 'hset' command",
    "ERR ACL failure in script: User default has no permissions to run the 'hset' command",
  ])('knows a right that is missing by: %s', async (error) => {
    await start();
    const { connection } = await openLog();
    const pcall = 'function(command) return command == "HSET" and { err = ARGV[1] } or { ok = "" } end';
    const script = `local redis = { pcall = ${pcall} }\n${RIGHTS_SCRIPT.source}`;
    expect(await connection.commands.client.sendCommand(['EVAL', script, '1', 'p:x', error])).toEqual(['HSET']);
  });

  test('after its end it takes nothing, and leaves nothing behind', async () => {
    await start();
    const node = await openLog();
    const last = node.log.append([alarmOf(1)]);
    await node.log.close();
    expect(await last).toHaveLength(1);
    expect(await outcomeOf(node.log.append([alarmOf(2)]))).toBe('rejected');
    node.connection.close();
  });
});
