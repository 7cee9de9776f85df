import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, test } from '@jest/globals';
import { LmdbAlarmLog } from '../../src/alarm-log/lmdb.alarm-log.js';
import { MemoryAlarmLog } from '../../src/alarm-log/memory.alarm-log.js';
import { RedisAlarmLog } from '../../src/alarm-log/redis.alarm-log.js';
import { describeWithRedis } from '../support/redis.server.js';
import { RedisPrefix } from '../support/redis.prefix.js';
import { describeAlarmLog } from './alarm-log.contract.js';

describeAlarmLog('MemoryAlarmLog', async ({ retention, now }) => new MemoryAlarmLog(retention, now));

let folder = '';

describeAlarmLog(
  'LmdbAlarmLog',
  async (options) => {
    folder = await mkdtemp(join(tmpdir(), 'alarm-log-'));
    return LmdbAlarmLog.open({ path: folder, ...options });
  },
  {
    reopen: async (log, options) => {
      await log.close();
      return LmdbAlarmLog.open({ path: folder, ...options });
    },
    cleanUp: () => rm(folder, { recursive: true, force: true }),
  },
);

describeWithRedis('on Redis', () => {
  const prefix = RedisPrefix.forSuite();

  describeAlarmLog(
    'RedisAlarmLog',
    async (options) => RedisAlarmLog.open({ connection: await prefix.begin(), ...options }),
    {
      reopen: async (log, options) => {
        await log.close();
        return RedisAlarmLog.open({ connection: await prefix.reconnect(), ...options });
      },
      cleanUp: async () => prefix.end(),
    },
  );
});

describe('MemoryAlarmLog', () => {
  const retention = { count: 1, hours: 1, bytes: 65_536 };

  test('says that it does not outlive the process', () => {
    expect(new MemoryAlarmLog(retention).isDurable).toBe(false);
  });

  test('begins a new epoch each time', () => {
    expect(new MemoryAlarmLog(retention).bounds().epoch).not.toBe(new MemoryAlarmLog(retention).bounds().epoch);
  });
});
