import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, jest, test } from '@jest/globals';
import { LmdbSubscriptionStore } from '../src/alarm-log/lmdb.subscription-store.js';
import { RedisBus } from '../src/bus/redis.bus.js';
import { Backends } from '../src/push.backends.js';
import { resolvePushOptions } from '../src/push.options.js';
import { untilAsync } from './support/deadline.js';
import { describeWithRedis, RedisServer } from './support/redis.server.js';

/** Timers that repeat, and have not been ended. */
const repeating = new Set<unknown>();

beforeEach(() => {
  const { setInterval: set, clearInterval: clear } = globalThis;
  jest.spyOn(globalThis, 'setInterval').mockImplementation(((...words: Parameters<typeof set>) => {
    const timer = set(...words);
    repeating.add(timer);
    return timer;
  }) as typeof set);
  jest.spyOn(globalThis, 'clearInterval').mockImplementation((timer) => {
    repeating.delete(timer);
    clear(timer);
  });
});

afterEach(() => {
  jest.restoreAllMocks();
  for (const timer of repeating) clearInterval(timer as NodeJS.Timeout);
  repeating.clear();
});

describeWithRedis('backends on Redis', () => {
  let server: RedisServer;

  beforeEach(async () => {
    server = await RedisServer.start();
  });

  afterEach(async () => {
    await server.stop();
  });

  const open = () => Backends.open(resolvePushOptions({ redisUrl: server.url }), Date.now);

  const expectNothingLeft = async () => {
    expect(repeating.size).toBe(0);
    await untilAsync(
      async () => !(await server.command('CLIENT', 'LIST')).includes('name=push-gateway-'),
      'Redis has no connection of the node',
    );
  };

  test('leave nothing behind', async () => {
    const backends = await open();
    expect(repeating.size).toBeGreaterThan(0);
    await backends.onApplicationShutdown();
    await expectNothingLeft();
  });

  test.each(['revocations', 'alarms:head'])('leave nothing behind where %s in Redis cannot be read', async (key) => {
    await server.command('SET', `{push}:${key}`, 'no such thing');
    await expect(open()).rejects.toThrow('WRONGTYPE');
    await expectNothingLeft();
  });

  test('are closed, all of them, also where one fails to', async () => {
    const backends = await open();
    const { bus } = backends.ports;
    jest.spyOn(bus, 'close').mockImplementation(async () => {
      await RedisBus.prototype.close.call(bus);
      throw new Error('not today');
    });
    await expect(backends.onApplicationShutdown()).rejects.toThrow('not today');
    await expectNothingLeft();
  });
});

describe('embedded backends', () => {
  let folder: string;

  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'push-backends-'));
  });

  afterEach(() => rmSync(folder, { recursive: true, force: true }));

  test('let go of the folder where not all of them can be opened', async () => {
    const options = resolvePushOptions({ alarmLogPath: folder });
    jest.spyOn(LmdbSubscriptionStore, 'open').mockRejectedValueOnce(new Error('not today'));
    await expect(Backends.open(options, Date.now)).rejects.toThrow('not today');
    expect(repeating.size).toBe(0);
    await (await Backends.open(options, Date.now)).onApplicationShutdown();
    expect(repeating.size).toBe(0);
  });
});
