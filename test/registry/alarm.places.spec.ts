import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { SubscriptionLimitError } from '../../src/push.errors.js';
import type { AlarmAddress } from '../../src/fan-out/alarm.client.js';
import type { AlarmPlace, AlarmRequest } from '../../src/registry/alarm.places.js';
import { turn, until } from '../support/deadline.js';
import { Gate } from '../support/gate.js';
import { AlarmSide, LossyLog, newAlarm, newAlarms, WatchedLog } from './alarm.fixture.js';

const FILTER = { minSeverity: undefined, businessTypes: undefined, businessIds: undefined };
const NOTHING: AlarmRequest = { filter: FILTER, lastEventId: undefined, replay: undefined, durable: undefined };
const KIB = 1024;

let log: WatchedLog;
let alarmSide: AlarmSide;

beforeEach(() => use(new WatchedLog()));
afterEach(() => alarmSide.close());

function use(other: WatchedLog): void {
  log = other;
  alarmSide = new AlarmSide(log);
}

/** Ends as the tail does: the head is the newest alarm. */
async function append(...alarms: ReturnType<typeof newAlarm>[]): Promise<void> {
  await log.append(alarms);
  alarmSide.pages.open();
}

function find(
  request: Partial<AlarmRequest> = {},
  userName = '',
  accepts: (address: AlarmAddress) => boolean = () => true,
): Promise<AlarmPlace> {
  return alarmSide.places.find({ ...NOTHING, ...request }, userName, accepts);
}

const severe = ({ severity }: AlarmAddress) => severity === 900;
const condition = (n: number, conditionId: string, active = true) => newAlarm(n, { conditionId, active });
const offsetsOf = ({ start }: AlarmPlace) => start.prelude.map(({ offset }) => offset);
const after = (offset: number, { epoch } = log.bounds()) => ({ lastEventId: { epoch, offset } });
const cursor = (offset: number) => `${log.bounds().epoch}.${offset}`;

function placeAt(offset: number, isResumed = false): AlarmPlace {
  return {
    start: { epoch: log.bounds().epoch, position: offset, prelude: [] },
    ready: { cursor: cursor(offset), resumed: isResumed },
    gap: undefined,
    subscription: undefined,
  };
}

describe('a connection that asks for nothing', () => {
  test('begins at the head', async () => {
    expect(await find()).toEqual(placeAt(0));
    await append(...newAlarms(1, 5));
    expect(await find()).toEqual(placeAt(5));
  });

  test('begins where this node is, although the log is further', async () => {
    await append(...newAlarms(1, 5));
    await log.append(newAlarms(6, 7));
    expect(await find()).toEqual(placeAt(5));
  });
});

describe('a connection that resumes', () => {
  beforeEach(async () => {
    use(new WatchedLog({ count: 10 }));
    await append(...newAlarms(1, 30));
  });

  test.each([20, 21, 29, 30])('after %d, of which nothing is gone', async (offset) => {
    expect(await find(after(offset))).toEqual(placeAt(offset, true));
  });

  test('after what only the log knows by now', async () => {
    await log.append(newAlarms(31, 32));
    expect(await find(after(32))).toEqual(placeAt(32, true));
  });

  test.each<[string, number, string | undefined]>([
    ['retention', 0, undefined],
    ['retention', 19, undefined],
    ['ahead', 31, undefined],
    ['ahead', Number.MAX_SAFE_INTEGER, undefined],
    ['epoch', 25, 'another'],
    ['epoch', 0, 'another'],
  ])('%s: after %d begins with the oldest, behind a gap', async (reason, offset, epoch = log.bounds().epoch) => {
    expect(await find(after(offset, { ...log.bounds(), epoch }))).toEqual({
      ...placeAt(20),
      gap: { requested: `${epoch}.${offset}`, oldest: cursor(21), reason },
    });
  });

  test('in a log that began anew and is empty', async () => {
    use(new WatchedLog());
    expect(await find({ lastEventId: { epoch: 'another', offset: 7 } })).toEqual({
      ...placeAt(0),
      gap: { requested: 'another.7', oldest: cursor(1), reason: 'epoch' },
    });
  });
});

describe('replay=all', () => {
  test('begins before the oldest', async () => {
    use(new WatchedLog({ count: 10 }));
    expect(await find({ replay: 'all' })).toEqual(placeAt(0));
    await append(...newAlarms(1, 30));
    expect(await find({ replay: 'all' })).toEqual(placeAt(20));
  });
});

describe('replay=<count>', () => {
  test.each([
    [1, 999],
    [3, 997],
    [250, 750],
    [1000, 0],
  ])('%d of a thousand alarms begins after %d', async (replay, offset) => {
    await append(...newAlarms(1, 1000));
    expect(await find({ replay })).toEqual(placeAt(offset));
  });

  test('counts what is for the client', async () => {
    for (let n = 1; n <= 900; n++) await log.append([newAlarm(n, n % 100 === 0 ? { severity: 900 } : {})]);
    alarmSide.pages.open();
    expect(await find({ replay: 1 }, '', severe)).toEqual(placeAt(899));
    expect(await find({ replay: 4 }, '', severe)).toEqual(placeAt(599));
    expect(await find({ replay: 9 }, '', severe)).toEqual(placeAt(99));
    expect(await find({ replay: 10 }, '', severe)).toEqual(placeAt(0));
  });

  test('ends at the oldest that is left', async () => {
    use(new WatchedLog({ count: 10 }));
    await append(...newAlarms(1, 30));
    expect(await find({ replay: 10 })).toEqual(placeAt(20));
    expect(await find({ replay: 500 })).toEqual(placeAt(20));
  });

  test('looks back over ten thousand alarms and no further', async () => {
    use(new WatchedLog({ count: 20_000 }));
    await append(newAlarm(1, { severity: 900 }), ...newAlarms(2, 10_001));
    expect(await find({ replay: 1 }, '', severe)).toEqual(placeAt(1));
    use(new WatchedLog({ count: 20_000 }));
    await append(newAlarm(1, { severity: 900 }), ...newAlarms(2, 10_000));
    expect(await find({ replay: 1 }, '', severe)).toEqual(placeAt(0));
  });

  test('counts large alarms as any other', async () => {
    await append(...newAlarms(1, 100, {}, 60 * KIB));
    expect(await find({ replay: 5 })).toEqual(placeAt(95));
    expect(await find({ replay: 70 })).toEqual(placeAt(30));
  });

  test('reads the log once, however many look back over all of it', async () => {
    use(new WatchedLog({ count: 20_000 }));
    await append(...newAlarms(1, 10_450));
    const found = await Promise.all(Array.from({ length: 100 }, () => find({ replay: 1 }, '', severe)));
    expect(found).toEqual(found.map(() => placeAt(450)));
    expect(log.reads).toHaveLength(51);
    await append(newAlarm(10_451));
    expect(await find({ replay: 1 }, '', severe)).toEqual(placeAt(451));
    expect(log.reads).toHaveLength(52);
    await append(newAlarm(10_452, { severity: 900 }));
    expect(await find({ replay: 1 }, '', severe)).toEqual(placeAt(10_451));
  });

  test('reads again what could not be read', async () => {
    await append(...newAlarms(1, 5));
    log.failures = 1;
    await expect(find({ replay: 2 })).rejects.toThrow('the disk is slow');
    expect(await find({ replay: 2 })).toEqual(placeAt(3));
  });

  test('counts from where this node is', async () => {
    await append(...newAlarms(1, 5));
    await log.append(newAlarms(6, 7));
    expect(await find({ replay: 2 })).toEqual(placeAt(3));
  });
});

describe('replay=active', () => {
  test('begins with the newest event of each condition that still holds', async () => {
    await append(condition(1, 'a'), condition(2, 'b'), newAlarm(3), condition(4, 'c'), condition(5, 'a'));
    await append(condition(6, 'c', false), newAlarm(7));
    const place = await find({ replay: 'active' });
    expect(offsetsOf(place)).toEqual([2, 5]);
    expect(place.start.position).toBe(7);
    expect(place.ready).toEqual({ cursor: cursor(1), resumed: false });
  });

  test('begins at the head where none does', async () => {
    await append(condition(1, 'a'), condition(2, 'a', false));
    expect(await find({ replay: 'active' })).toEqual(placeAt(2));
  });

  test('knows conditions that are older than the retention', async () => {
    use(new WatchedLog({ count: 5 }));
    await append(condition(1, 'a'), ...newAlarms(2, 20));
    const place = await find({ replay: 'active' });
    expect(offsetsOf(place)).toEqual([1]);
    expect(place.ready.cursor).toBe(cursor(0));
  });

  test('frames them once for all who come before the next alarm', async () => {
    await append(condition(1, 'a'));
    const [first, second] = await Promise.all([find({ replay: 'active' }), find({ replay: 'active' })]);
    expect(first.start.prelude[0]?.frame).toBe(second.start.prelude[0]?.frame);
    await append(condition(2, 'b'));
    expect(offsetsOf(await find({ replay: 'active' }))).toEqual([1, 2]);
  });

  test('leaves to the live alarms what this node has not routed', async () => {
    await append(condition(1, 'a'), condition(2, 'b'));
    await log.append([condition(3, 'b'), condition(4, 'c')]);
    const place = await find({ replay: 'active' });
    expect(offsetsOf(place)).toEqual([1]);
    expect(place.start.position).toBe(2);
  });

  test('loses no condition that is raised while the others are read', async () => {
    const slow = new LossyLog();
    const side = new AlarmSide(slow);
    side.tail.onApplicationBootstrap();
    await slow.append([condition(1, 'a')]);
    await until(() => side.pages.head === 1, 'the first is out');
    const gate = new Gate();
    slow.holdActive = gate.opened;
    const finding = side.places.find({ ...NOTHING, replay: 'active' }, '', () => true);
    await turn();
    await slow.append([condition(2, 'b')]);
    await until(() => side.pages.head === 2, 'the second is out');
    gate.open();
    const place = await finding;
    expect([offsetsOf(place), place.start.position]).toEqual([[1], 1]);
    side.close();
  });

  test('fails where the log fails, and not the next time', async () => {
    await append(condition(1, 'a'));
    log.activeFailures = 1;
    await expect(find({ replay: 'active' })).rejects.toThrow('the disk is slow');
    expect(offsetsOf(await find({ replay: 'active' }))).toEqual([1]);
  });
});

describe('a durable subscription', () => {
  const durable = 'phone';

  test('begins where the connection would without it, and holds it', async () => {
    await append(...newAlarms(1, 5));
    const id = { userName: 'ann', name: durable };
    expect(await find({ durable }, 'ann')).toEqual({
      ...placeAt(5),
      subscription: { id, generation: 1, cursor: { epoch: log.bounds().epoch, offset: 5 } },
    });
    const all = await find({ durable: 'desk', replay: 'all' }, 'ann');
    expect(all).toMatchObject({ start: { position: 0 }, ready: { resumed: false } });
    expect(await alarmSide.store.list()).toMatchObject([
      { userName: 'ann', name: 'phone', cursor: { offset: 5 } },
      { userName: 'ann', name: 'desk', cursor: { offset: 0 } },
    ]);
  });

  test('goes on after the stored cursor, whatever replay says', async () => {
    await append(...newAlarms(1, 5));
    const { subscription } = await find({ durable }, 'ann');
    await append(...newAlarms(6, 9));
    expect(await find({ durable, replay: 'all' }, 'ann')).toMatchObject({
      ...placeAt(5, true),
      subscription: { generation: (subscription?.generation ?? 0) + 1 },
    });
    expect((await find({ durable }, 'ann')).start.position).toBe(5);
  });

  test('is told a gap where its place is gone', async () => {
    use(new WatchedLog({ count: 10 }));
    await find({ durable }, 'ann');
    await append(...newAlarms(1, 30));
    expect(await find({ durable }, 'ann')).toMatchObject({
      ...placeAt(20),
      gap: { requested: cursor(0), oldest: cursor(21), reason: 'retention' },
      subscription: {},
    });
  });

  test('of another user is another', async () => {
    await append(...newAlarms(1, 5));
    await find({ durable, replay: 'all' }, 'ann');
    expect(await find({ durable }, 'bob')).toMatchObject({ ...placeAt(5), subscription: {} });
    expect(await find({ durable }, '')).toMatchObject({ ...placeAt(5), subscription: {} });
  });

  test('is refused over the limit, and a check says so without taking anything', async () => {
    const check = (name: string) =>
      alarmSide.places.check({ filter: FILTER, lastEventId: undefined, replay: undefined, durable: name }, 'ann');
    await check('s1');
    expect(await alarmSide.store.list()).toEqual([]);
    for (let n = 1; n <= 16; n++) await find({ durable: `s${n}` }, 'ann');
    await expect(find({ durable: 's17' }, 'ann')).rejects.toThrow(SubscriptionLimitError);
    await expect(check('s17')).rejects.toThrow(SubscriptionLimitError);
    await check('s16');
    expect(await find({ durable: 's16' }, 'ann')).toMatchObject({ ready: { resumed: true } });
    expect(await alarmSide.store.list()).toHaveLength(16);
  });
});
