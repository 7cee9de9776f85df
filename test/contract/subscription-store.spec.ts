import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, jest, test } from '@jest/globals';
import { ABORT } from 'lmdb';
import { LmdbEnvironment } from '../../src/alarm-log/lmdb.environment.js';
import { LmdbSubscriptionStore } from '../../src/alarm-log/lmdb.subscription-store.js';
import { MemorySubscriptionStore } from '../../src/alarm-log/memory.subscription-store.js';
import { RedisSubscriptionStore } from '../../src/alarm-log/redis.subscription-store.js';
import type { SubscriptionId } from '../../src/alarm-log/subscription-store.js';
import { AlarmNotAcceptedError } from '../../src/push.errors.js';
import { RedisPrefix } from '../support/redis.prefix.js';
import { describeWithRedis } from '../support/redis.server.js';
import { describeSubscriptionStore, type SubscriptionStoreOptions } from './subscription-store.contract.js';

describeSubscriptionStore('MemorySubscriptionStore', async ({ limits, now }) => {
  return new MemorySubscriptionStore(limits, now);
});

/** A folder with one environment, which is opened and closed as a process would. */
class LmdbFolder {
  private constructor(
    private readonly path: string,
    public environment: LmdbEnvironment,
  ) {}

  static async make(): Promise<LmdbFolder> {
    const path = await mkdtemp(join(tmpdir(), 'subscription-store-'));
    return new LmdbFolder(path, await LmdbEnvironment.open(path));
  }

  open({ limits, now }: SubscriptionStoreOptions): Promise<LmdbSubscriptionStore> {
    return LmdbSubscriptionStore.open(this.environment, limits, now);
  }

  async reopen(): Promise<void> {
    await this.environment.close();
    this.environment = await LmdbEnvironment.open(this.path);
  }

  async remove(): Promise<void> {
    await this.environment.close();
    await rm(this.path, { recursive: true });
  }
}

let contractFolder: LmdbFolder | undefined;

describeSubscriptionStore(
  'LmdbSubscriptionStore',
  async (options) => {
    contractFolder = await LmdbFolder.make();
    return contractFolder.open(options);
  },
  {
    reopen: async (store, options) => {
      await store.close();
      if (contractFolder === undefined) throw new Error('there is nothing to open again');
      await contractFolder.reopen();
      return contractFolder.open(options);
    },
    cleanUp: async () => {
      await contractFolder?.remove();
      contractFolder = undefined;
    },
  },
);

describeWithRedis('on Redis', () => {
  const prefix = RedisPrefix.forSuite();

  describeSubscriptionStore(
    'RedisSubscriptionStore',
    async ({ limits, now }) => new RedisSubscriptionStore(await prefix.begin(), limits, now),
    {
      reopen: async (store, { limits, now }) => {
        await store.close();
        return new RedisSubscriptionStore(await prefix.reconnect(), limits, now);
      },
      cleanUp: async () => prefix.end(),
    },
  );
});

describe('LmdbSubscriptionStore', () => {
  const start = { epoch: 'e1', offset: 0 };
  let folder: LmdbFolder;
  let store: LmdbSubscriptionStore;

  beforeEach(async () => {
    folder = await LmdbFolder.make();
    store = await folder.open({ limits: { perUser: 2, total: 2 }, now: () => 0 });
  });

  afterEach(async () => {
    await store.close();
    await folder.remove();
  });

  /** The next commit runs its work, and then nothing of it is stored. */
  function failNextCommit(): void {
    const { environment } = folder;
    jest.spyOn(environment, 'commit').mockImplementationOnce(async (work) => {
      environment.database('about', 'string').transactionSync(() => {
        work();
        return ABORT;
      });
      throw new AlarmNotAcceptedError('rejected', 'the disk is full');
    });
  }

  test('an opening that could not be stored takes no room', async () => {
    await store.open(ann('one'), start);
    for (let n = 0; n < 3; n++) {
      failNextCommit();
      await expect(store.open(ann('two'), start)).rejects.toBeInstanceOf(AlarmNotAcceptedError);
    }
    expect(await store.list()).toHaveLength(1);
    expect(await store.open(ann('two'), start)).toMatchObject({ isNew: true });
    await expect(store.check(ann('three'))).rejects.toMatchObject({ limit: 'user' });
  });

  test('a deletion that could not be stored makes no room', async () => {
    const { generation } = await store.open(ann('one'), start);
    await store.open(ann('two'), start);
    failNextCommit();
    await expect(store.delete(ann('one'))).rejects.toBeInstanceOf(AlarmNotAcceptedError);
    await expect(store.open(ann('three'), start)).rejects.toMatchObject({ limit: 'user' });
    expect(await store.acknowledge(ann('one'), generation, start)).toBe(true);
  });

  test('after the end of its environment it refuses, and breaks nothing', async () => {
    const { generation } = await store.open(ann('one'), start);
    await folder.environment.close();
    await expect(store.touch(ann('one'), generation)).rejects.toBeInstanceOf(AlarmNotAcceptedError);
    await expect(store.list()).rejects.toThrow(/closed/i);
    await expect(store.check(ann('two'))).rejects.toThrow(/closed/i);
  });
});

function ann(name: string): SubscriptionId {
  return { userName: 'ann', name };
}
