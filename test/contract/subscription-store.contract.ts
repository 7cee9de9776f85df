import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import {
  type SubscriptionId,
  type SubscriptionLimits,
  type SubscriptionStore,
} from '../../src/alarm-log/subscription-store.js';
import { SubscriptionLimitError } from '../../src/push.errors.js';

export interface SubscriptionStoreOptions {
  readonly limits: SubscriptionLimits;
  /** The store's clock, in milliseconds of Unix time. */
  readonly now: () => number;
}

export interface SubscriptionStoreHooks {
  /** Closes the store and opens the same again; given by backends that outlive a process. */
  readonly reopen?: (store: SubscriptionStore, options: SubscriptionStoreOptions) => Promise<SubscriptionStore>;
  /** Runs after each test, when the store is closed. */
  readonly cleanUp?: () => Promise<void>;
}

const HOUR_MS = 3_600_000;
const AMPLE: SubscriptionLimits = { perUser: 1000, total: 10_000 };
const START = { epoch: 'e1', offset: 10 };
const DESK: SubscriptionId = { userName: 'ann', name: 'desk' };
const PHONE: SubscriptionId = { userName: 'ann', name: 'phone' };
const BOB: SubscriptionId = { userName: 'bob', name: 'desk' };

/** What every backend of {@link SubscriptionStore} promises. Runs on a new, empty store for each test. */
export function describeSubscriptionStore(
  name: string,
  open: (options: SubscriptionStoreOptions) => Promise<SubscriptionStore>,
  { reopen, cleanUp }: SubscriptionStoreHooks = {},
): void {
  describe(`${name} is a subscription store`, () => {
    let store: SubscriptionStore;
    let nowMs: number;
    let options: SubscriptionStoreOptions;

    const openWith = async (limits: Partial<SubscriptionLimits>) => {
      await store.close();
      await cleanUp?.();
      options = { limits: { ...AMPLE, ...limits }, now: () => nowMs };
      store = await open(options);
    };

    beforeEach(async () => {
      nowMs = Date.UTC(2030, 0, 1);
      options = { limits: AMPLE, now: () => nowMs };
      store = await open(options);
    });

    afterEach(async () => {
      await store.close();
      await cleanUp?.();
    });

    /** Where the client would go on, without opening anything. */
    const storedOf = async ({ userName, name: ofName }: SubscriptionId) =>
      (await store.list()).find((each) => each.userName === userName && each.name === ofName);

    const idsInStore = async () => (await store.list()).map((each) => [each.userName, each.name].join('/')).toSorted();

    describe('opening', () => {
      test('a new one begins at the start', async () => {
        expect(await store.open(DESK, START)).toMatchObject({ cursor: START, isNew: true });
        expect(await store.list()).toEqual([{ ...DESK, cursor: START, lastSeenMs: nowMs }]);
      });

      test('one that is there goes on where it was, whatever the start', async () => {
        await store.open(DESK, START);
        const again = await store.open(DESK, { epoch: 'e2', offset: 99 });
        expect(again).toMatchObject({ cursor: START, isNew: false });
        expect(await store.list()).toHaveLength(1);
      });

      test('goes on behind what was acknowledged', async () => {
        const { generation } = await store.open(DESK, START);
        await store.acknowledge(DESK, generation, { epoch: 'e1', offset: 25 });
        expect(await store.open(DESK, START)).toMatchObject({ cursor: { epoch: 'e1', offset: 25 }, isNew: false });
      });

      test('the generation rises each time, as a safe integer', async () => {
        const generations: number[] = [];
        for (let n = 0; n < 5; n++) generations.push((await store.open(DESK, START)).generation);
        expect(generations.every(Number.isSafeInteger)).toBe(true);
        expect(generations).toEqual([...new Set(generations)].toSorted((a, b) => a - b));
      });

      test('at the same time: one of them is new, each has its own generation, and the highest holds it', async () => {
        const opened = await Promise.all(Array.from({ length: 10 }, () => store.open(DESK, START)));
        expect(opened.filter(({ isNew }) => isNew)).toHaveLength(1);
        const generations = opened.map(({ generation }) => generation);
        expect(new Set(generations).size).toBe(10);
        const highest = Math.max(...generations);
        for (const generation of generations) {
          expect(await store.acknowledge(DESK, generation, START)).toBe(generation === highest);
        }
      });

      test('subscriptions of one user, and of the same name, are apart', async () => {
        const desk = await store.open(DESK, START);
        expect(await store.open(PHONE, { epoch: 'e1', offset: 20 })).toMatchObject({ isNew: true });
        expect(await store.open(BOB, { epoch: 'e1', offset: 30 })).toMatchObject({ isNew: true });
        expect(await store.acknowledge(DESK, desk.generation, { epoch: 'e1', offset: 15 })).toBe(true);
        expect((await storedOf(DESK))?.cursor.offset).toBe(15);
        expect((await storedOf(PHONE))?.cursor.offset).toBe(20);
        expect((await storedOf(BOB))?.cursor.offset).toBe(30);
      });
    });

    describe('acknowledging', () => {
      test('moves the cursor forward', async () => {
        const { generation } = await store.open(DESK, START);
        for (const offset of [11, 500, 2 ** 53 - 1]) {
          expect(await store.acknowledge(DESK, generation, { epoch: 'e1', offset })).toBe(true);
          expect((await storedOf(DESK))?.cursor).toEqual({ epoch: 'e1', offset });
        }
      });

      test.each([10, 9, 0])('to offset %i, from 10: stays', async (offset) => {
        const { generation } = await store.open(DESK, START);
        expect(await store.acknowledge(DESK, generation, { epoch: 'e1', offset })).toBe(true);
        expect((await storedOf(DESK))?.cursor).toEqual(START);
      });

      test('out of order, at the same time: the furthest counts', async () => {
        const { generation } = await store.open(DESK, START);
        const offsets = [30, 12, 45, 44, 11];
        const outcomes = await Promise.all(
          offsets.map((offset) => store.acknowledge(DESK, generation, { epoch: 'e1', offset })),
        );
        expect(outcomes).toEqual(offsets.map(() => true));
        expect((await storedOf(DESK))?.cursor.offset).toBe(45);
      });

      test('in another epoch: replaces, also with a smaller offset', async () => {
        const { generation } = await store.open(DESK, START);
        expect(await store.acknowledge(DESK, generation, { epoch: 'e2', offset: 3 })).toBe(true);
        expect((await storedOf(DESK))?.cursor).toEqual({ epoch: 'e2', offset: 3 });
        await store.acknowledge(DESK, generation, { epoch: 'e2', offset: 2 });
        expect((await storedOf(DESK))?.cursor).toEqual({ epoch: 'e2', offset: 3 });
      });

      test.each([
        ['forward', { epoch: 'e1', offset: 99 }],
        ['in another epoch', { epoch: 'e2', offset: 1 }],
      ])('by a connection that was taken over, %s: refused, and nothing changes', async (_, cursor) => {
        const first = await store.open(DESK, START);
        const second = await store.open(DESK, START);
        const before = await store.list();
        nowMs += 1000;
        expect(await store.acknowledge(DESK, first.generation, cursor)).toBe(false);
        expect(await store.list()).toEqual(before);
        expect(await store.acknowledge(DESK, second.generation, cursor)).toBe(true);
      });

      test('what was never opened, or is of another name: refused, and nothing is made', async () => {
        expect(await store.acknowledge(DESK, 1, START)).toBe(false);
        const { generation } = await store.open(PHONE, START);
        expect(await store.acknowledge(DESK, generation, START)).toBe(false);
        expect(await idsInStore()).toEqual(['ann/phone']);
      });

      test('is being seen', async () => {
        const { generation } = await store.open(DESK, START);
        nowMs += HOUR_MS;
        await store.acknowledge(DESK, generation, { epoch: 'e1', offset: 11 });
        expect((await storedOf(DESK))?.lastSeenMs).toBe(nowMs);
        nowMs += HOUR_MS;
        await store.acknowledge(DESK, generation, { epoch: 'e1', offset: 11 });
        expect((await storedOf(DESK))?.lastSeenMs).toBe(nowMs);
      });
    });

    describe('deleting', () => {
      test('tells whether there was one', async () => {
        expect(await store.delete(DESK)).toBe(false);
        await store.open(DESK, START);
        await store.open(PHONE, START);
        expect(await store.delete(DESK)).toBe(true);
        expect(await store.delete(DESK)).toBe(false);
        expect(await idsInStore()).toEqual(['ann/phone']);
      });

      test('at the same time: one has deleted it', async () => {
        await store.open(DESK, START);
        const outcomes = await Promise.all([store.delete(DESK), store.delete(DESK), store.delete(DESK)]);
        expect(outcomes.filter((isDeleted) => isDeleted)).toHaveLength(1);
      });

      test('its connection moves nothing any more', async () => {
        const { generation } = await store.open(DESK, START);
        await store.delete(DESK);
        expect(await store.acknowledge(DESK, generation, { epoch: 'e1', offset: 11 })).toBe(false);
        await store.touch(DESK, generation);
        expect(await store.list()).toEqual([]);
      });

      test('opened anew it begins at the new start, and an old connection cannot move it', async () => {
        const first = await store.open(DESK, START);
        await store.delete(DESK);
        const second = await store.open(DESK, { epoch: 'e1', offset: 50 });
        expect(second).toMatchObject({ cursor: { epoch: 'e1', offset: 50 }, isNew: true });
        expect(second.generation).toBeGreaterThan(first.generation);
        expect(await store.acknowledge(DESK, first.generation, { epoch: 'e1', offset: 99 })).toBe(false);
        expect((await storedOf(DESK))?.cursor.offset).toBe(50);
      });
    });

    describe('touching', () => {
      test('notes the time, and nothing else', async () => {
        const { generation } = await store.open(DESK, START);
        nowMs += HOUR_MS;
        await store.touch(DESK, generation);
        expect(await store.list()).toEqual([{ ...DESK, cursor: START, lastSeenMs: nowMs }]);
        expect(await store.acknowledge(DESK, generation, START)).toBe(true);
      });

      test('by a connection that was taken over, or of what is unknown: nothing', async () => {
        const first = await store.open(DESK, START);
        await store.open(DESK, START);
        const before = await store.list();
        nowMs += HOUR_MS;
        await store.touch(DESK, first.generation);
        await store.touch(PHONE, first.generation);
        expect(await store.list()).toEqual(before);
      });
    });

    describe('limits', () => {
      test.each<[string, Partial<SubscriptionLimits>, 'user' | 'total', SubscriptionId]>([
        ['a user', { perUser: 2 }, 'user', { userName: 'ann', name: 'third' }],
        ['all users', { total: 2 }, 'total', { userName: 'carl', name: 'third' }],
      ])('of %s: a new one over it is refused, and not made', async (_, limits, limit, third) => {
        await openWith(limits);
        await store.open(DESK, START);
        await store.check(third);
        await store.open(PHONE, START);
        for (const tried of [() => store.open(third, START), () => store.check(third)]) {
          const error: unknown = await tried().catch((cause: unknown) => cause);
          expect(error).toBeInstanceOf(SubscriptionLimitError);
          expect(error).toMatchObject({ limit });
        }
        expect(await idsInStore()).toEqual(['ann/desk', 'ann/phone']);
      });

      test('one that is there can be opened all the same', async () => {
        await openWith({ perUser: 1, total: 1 });
        await store.open(DESK, START);
        await store.check(DESK);
        expect(await store.open(DESK, START)).toMatchObject({ isNew: false });
      });

      test('one user at the limit takes nothing from another', async () => {
        await openWith({ perUser: 1 });
        await store.open(DESK, START);
        await expect(store.check(PHONE)).rejects.toBeInstanceOf(SubscriptionLimitError);
        await store.check(BOB);
        expect(await store.open(BOB, START)).toMatchObject({ isNew: true });
      });

      test('checking opens nothing', async () => {
        await store.check(DESK);
        expect(await store.list()).toEqual([]);
        const { generation } = await store.open(DESK, START);
        await store.check(DESK);
        expect(await store.acknowledge(DESK, generation, START)).toBe(true);
      });

      test('a limit of none refuses the first', async () => {
        await openWith({ total: 0 });
        await expect(store.open(DESK, START)).rejects.toBeInstanceOf(SubscriptionLimitError);
      });

      test('what is opened at the same time does not get past it', async () => {
        await openWith({ perUser: 3 });
        const names = Array.from({ length: 8 }, (_, i) => `s${i}`);
        const outcomes = await Promise.allSettled(
          names.map((each) => store.open({ userName: 'ann', name: each }, START)),
        );
        expect(outcomes.filter(({ status }) => status === 'fulfilled')).toHaveLength(3);
        expect(await store.list()).toHaveLength(3);
      });

      test('what is refused does not disturb what is done beside it', async () => {
        await openWith({ perUser: 1 });
        const { generation } = await store.open(DESK, START);
        const [acknowledged, refused, opened] = await Promise.allSettled([
          store.acknowledge(DESK, generation, { epoch: 'e1', offset: 12 }),
          store.open(PHONE, START),
          store.open(BOB, START),
        ]);
        expect(acknowledged).toEqual({ status: 'fulfilled', value: true });
        expect(refused).toMatchObject({ status: 'rejected', reason: { limit: 'user' } });
        expect(opened).toMatchObject({ status: 'fulfilled', value: { isNew: true } });
      });

      test('deleted and expired ones make room, once each', async () => {
        await openWith({ perUser: 1, total: 2 });
        await store.open(DESK, START);
        await store.delete(DESK);
        await store.delete(DESK);
        await store.open(PHONE, START);
        await expect(store.check(DESK)).rejects.toMatchObject({ limit: 'user' });
        nowMs += HOUR_MS;
        expect(await store.expire(nowMs, () => false)).toBe(1);
        await store.open(DESK, START);
        await store.open(BOB, START);
        await expect(store.check({ userName: 'carl', name: 'desk' })).rejects.toMatchObject({ limit: 'total' });
      });
    });

    describe('expiring', () => {
      test('deletes what was last seen before, and tells how many', async () => {
        await store.open(DESK, START);
        await store.open(PHONE, START);
        nowMs += HOUR_MS;
        await store.open(BOB, START);
        expect(await store.expire(nowMs, () => false)).toBe(2);
        expect(await idsInStore()).toEqual(['bob/desk']);
        expect(await store.expire(nowMs, () => false)).toBe(0);
      });

      test('what was seen at that very time stays', async () => {
        await store.open(DESK, START);
        expect(await store.expire(nowMs, () => false)).toBe(0);
        expect(await store.expire(nowMs + 1, () => false)).toBe(1);
      });

      test('what is connected stays', async () => {
        await store.open(DESK, START);
        await store.open(BOB, START);
        expect(await store.expire(nowMs + 1, (id) => id.userName === 'bob' && id.name === 'desk')).toBe(1);
        expect(await idsInStore()).toEqual(['bob/desk']);
      });

      test.each<[string, (generation: number) => Promise<unknown>]>([
        ['an acknowledgement', (generation) => store.acknowledge(DESK, generation, START)],
        ['the end of a connection', (generation) => store.touch(DESK, generation)],
        ['another opening', () => store.open(DESK, START)],
      ])('%s puts it off', async (_, use) => {
        const { generation } = await store.open(DESK, START);
        nowMs += HOUR_MS;
        await use(generation);
        expect(await store.expire(nowMs, () => false)).toBe(0);
      });

      test('its connection moves nothing any more', async () => {
        const { generation } = await store.open(DESK, START);
        await store.expire(nowMs + 1, () => false);
        expect(await store.acknowledge(DESK, generation, START)).toBe(false);
      });

      test('an opening at the same time has one, before or after', async () => {
        await store.open(DESK, START);
        nowMs += HOUR_MS;
        const [{ generation }] = await Promise.all([store.open(DESK, START), store.expire(nowMs, () => false)]);
        expect(await store.acknowledge(DESK, generation, START)).toBe(true);
      });

      test('many at once', async () => {
        const names = Array.from({ length: 700 }, (_, i) => `s${i}`);
        await Promise.all(names.map((each) => store.open({ userName: 'ann', name: each }, START)));
        expect(await store.expire(nowMs + 1, (id) => id.name === 's600')).toBe(699);
        expect(await idsInStore()).toEqual(['ann/s600']);
      });

      test('where isHeld throws, all stay', async () => {
        await store.open(DESK, START);
        await store.open(BOB, START);
        const expiring = store.expire(nowMs + 1, (id) => {
          if (id.userName === 'bob') throw new Error('not known');
          return false;
        });
        await expect(expiring).rejects.toThrow('not known');
        expect(await idsInStore()).toEqual(['ann/desk', 'bob/desk']);
      });
    });

    describe('names', () => {
      test.each<[string, SubscriptionId, SubscriptionId]>([
        ['a colon', { userName: 'a:b', name: 'c' }, { userName: 'a', name: 'b:c' }],
        ['a slash', { userName: 'a/b', name: 'c' }, { userName: 'a', name: 'b/c' }],
        ['a percent sign', { userName: 'a%3Ab', name: 'c' }, { userName: 'a:b', name: 'c' }],
        ['a quote and a comma', { userName: 'a","b', name: 'c' }, { userName: 'a', name: 'b","c' }],
        ['a backslash', { userName: 'a\\', name: 'c' }, { userName: 'a\\\\', name: 'c' }],
        ['nobody and somebody', { userName: '', name: 'c' }, { userName: 'c', name: '' }],
        ['upper and lower case', { userName: 'Ann', name: 'c' }, { userName: 'ann', name: 'c' }],
        ['forms of one letter', { userName: '\u00e9', name: 'c' }, { userName: 'e\u0301', name: 'c' }],
        ['128 bytes', { userName: `${'x'.repeat(127)}a`, name: 'c' }, { userName: `${'x'.repeat(127)}b`, name: 'c' }],
        [
          '128 bytes of another script',
          { userName: `${'电'.repeat(42)}aa`, name: 'n'.repeat(64) },
          { userName: `${'电'.repeat(42)}ab`, name: 'n'.repeat(64) },
        ],
        ['emoji', { userName: '👩‍🔧', name: 'c' }, { userName: '👩', name: 'c' }],
        [
          'names of Object.prototype',
          { userName: '__proto__', name: 'constructor' },
          { userName: '', name: '__proto__' },
        ],
      ])('%s: two ids, two subscriptions', async (_, one, other) => {
        const first = await store.open(one, START);
        const second = await store.open(other, { epoch: 'e1', offset: 20 });
        expect([first.isNew, second.isNew]).toEqual([true, true]);
        expect(await store.acknowledge(one, first.generation, { epoch: 'e1', offset: 11 })).toBe(true);
        expect(await storedOf(one)).toEqual({ ...one, cursor: { epoch: 'e1', offset: 11 }, lastSeenMs: nowMs });
        expect(await storedOf(other)).toEqual({ ...other, cursor: { epoch: 'e1', offset: 20 }, lastSeenMs: nowMs });
        expect(await store.delete(one)).toBe(true);
        expect(await store.open(other, START)).toMatchObject({ isNew: false });
      });

      test('anonymous clients count as one user', async () => {
        await openWith({ perUser: 1 });
        await store.open({ userName: '', name: 'a' }, START);
        await expect(store.check({ userName: '', name: 'b' })).rejects.toMatchObject({ limit: 'user' });
        await store.check(DESK);
      });
    });

    test('a list that was handed out does not change', async () => {
      const { generation } = await store.open(DESK, START);
      const list = await store.list();
      await store.acknowledge(DESK, generation, { epoch: 'e1', offset: 11 });
      await store.open(PHONE, START);
      expect(list).toEqual([{ ...DESK, cursor: START, lastSeenMs: nowMs }]);
    });

    if (reopen !== undefined) {
      describe('opened again', () => {
        test('has what it had', async () => {
          const { generation } = await store.open(DESK, START);
          await store.open({ userName: 'a:电', name: 'c' }, { epoch: 'e1', offset: 2 });
          await store.open(BOB, START);
          await store.delete(BOB);
          nowMs += HOUR_MS;
          await store.acknowledge(DESK, generation, { epoch: 'e2', offset: 5 });
          const before = await store.list();
          expect(before).toHaveLength(2);
          store = await reopen(store, options);
          expect(await store.list()).toEqual(before);
        });

        test('the generation goes on rising, also for what was deleted', async () => {
          const desk = await store.open(DESK, START);
          const bob = await store.open(BOB, START);
          await store.delete(BOB);
          store = await reopen(store, options);
          const deskAgain = await store.open(DESK, { epoch: 'e1', offset: 99 });
          expect(deskAgain).toMatchObject({ cursor: START, isNew: false });
          expect(deskAgain.generation).toBeGreaterThan(desk.generation);
          expect((await store.open(BOB, START)).generation).toBeGreaterThan(bob.generation);
          expect(await store.acknowledge(DESK, desk.generation, { epoch: 'e1', offset: 99 })).toBe(false);
        });

        test('knows how many there are', async () => {
          await openWith({ perUser: 2, total: 3 });
          await store.open(DESK, START);
          await store.open(PHONE, START);
          await store.open(BOB, START);
          store = await reopen(store, options);
          await expect(store.check({ userName: 'ann', name: 'third' })).rejects.toMatchObject({ limit: 'user' });
          await expect(store.check({ userName: 'carl', name: 'desk' })).rejects.toMatchObject({ limit: 'total' });
          await store.delete(BOB);
          expect(await store.open({ userName: 'carl', name: 'desk' }, START)).toMatchObject({ isNew: true });
        });

        test('goes by its new limits; what is there already stays', async () => {
          await store.open(DESK, START);
          await store.open(PHONE, START);
          store = await reopen(store, { ...options, limits: { perUser: 1, total: 1 } });
          expect(await store.open(PHONE, START)).toMatchObject({ isNew: false });
          await store.delete(PHONE);
          await expect(store.open(PHONE, START)).rejects.toBeInstanceOf(SubscriptionLimitError);
        });

        test('expires what was last seen before it was closed', async () => {
          await store.open(DESK, START);
          nowMs += HOUR_MS;
          await store.open(BOB, START);
          store = await reopen(store, options);
          expect(await store.expire(nowMs, () => false)).toBe(1);
          expect(await idsInStore()).toEqual(['bob/desk']);
        });
      });
    }
  });
}
