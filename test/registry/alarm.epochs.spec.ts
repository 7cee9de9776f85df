import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { Logger } from '@nestjs/common';
import { WireFormat } from '../../src/fan-out/frame.js';
import { CloseCodes } from '../../src/protocol/close-codes.js';
import type { AlarmPlace, AlarmRequest } from '../../src/registry/alarm.places.js';
import { turn, until } from '../support/deadline.js';
import { Gate } from '../support/gate.js';
import type { MemorySink } from '../support/memory.sink.js';
import { AlarmSide, LossyLog, newAlarm, newAlarms } from './alarm.fixture.js';

const KIB = 1024;
const NOTHING: AlarmRequest = {
  filter: { minSeverity: undefined, businessTypes: undefined, businessIds: undefined },
  lastEventId: undefined,
  replay: undefined,
  durable: undefined,
};
const PHONE = { userName: 'ann', name: 'phone' };
const OVERTAKEN = { code: CloseCodes.overtaken.code, reason: CloseCodes.overtaken.reason };
const accepts = () => true;

let log: LossyLog;
let side: AlarmSide;
/** The epoch at the beginning of the test. */
let first: string;

beforeEach(() => {
  Logger.overrideLogger(false);
  log = new LossyLog();
  first = log.bounds().epoch;
  side = new AlarmSide(log, { maxOutboxBytes: 64 * KIB, inFlightBytes: 16 * KIB });
  side.tail.onApplicationBootstrap();
});

afterEach(() => {
  side.close();
  Logger.overrideLogger(['log', 'error', 'warn', 'debug', 'verbose', 'fatal']);
});

/** Lets everything arrive. */
async function settle(): Promise<void> {
  for (let round = 0; round < 10; round++) {
    await turn();
    side.flushQueue.flushAll();
  }
}

async function append(from: number, to = from, bytes = 0): Promise<void> {
  await log.append(newAlarms(from, to, {}, bytes));
  await settle();
}

const now = () => log.bounds().epoch;
const cursor = (offset: number, epoch = now()) => ({ epoch, offset });
const stored = async () => (await side.store.list())[0]?.cursor;
const find = (request: Partial<AlarmRequest>): Promise<AlarmPlace> =>
  side.places.find({ ...NOTHING, ...request }, 'ann', accepts);

const short = (text: string) => text.replaceAll(`${first}.`, 'e1.').replaceAll(`${now()}.`, 'e2.');

/** `e1.3` is an alarm's or a heartbeat's id, `gap e1.3 e2.1 epoch` a gap; e1 is the first epoch and e2 the one of now. */
function heard(sink: MemorySink): string[] {
  return sink.texts().map((text) => {
    const { event, id, data } = JSON.parse(text) as { event: string; id?: string; data: Record<string, string> };
    if (event === 'alarm') return short(id ?? '');
    if (event === 'gap') return short(`gap ${data['requested']} ${data['oldest']} ${data['reason']}`);
    return short(`${event} ${id ?? data['cursor']}`);
  });
}

describe('a log that begins anew', () => {
  test('is told to a client at the head, which then gets all it holds and all that follows', async () => {
    const { sink } = side.connect();
    await append(1, 3);
    await log.beginAnew(newAlarm(1), newAlarm(2));
    await settle();
    await append(3);
    expect(heard(sink)).toEqual(['e1.1', 'e1.2', 'e1.3', 'gap e1.3 e2.1 epoch', 'e2.1', 'e2.2', 'e2.3']);
  });

  test('is told at once also where it is empty', async () => {
    const { sink, client } = side.connect();
    await append(1);
    await log.beginAnew();
    await settle();
    expect(heard(sink)).toEqual(['e1.1', 'gap e1.1 e2.1 epoch']);
    client.offerHeartbeat();
    await append(2);
    expect(heard(sink).slice(2)).toEqual(['heartbeat e2.0', 'e2.1']);
  });

  test('is told behind what was offered before it', async () => {
    const { sink } = side.connect();
    await log.append(newAlarms(1, 3));
    await until(() => side.pages.head === 3, 'they are out');
    await log.beginAnew(newAlarm(1));
    await settle();
    expect(heard(sink)).toEqual(['e1.1', 'e1.2', 'e1.3', 'gap e1.3 e2.1 epoch', 'e2.1']);
  });

  test('is told as of the last alarm that was written, not the last that was offered', async () => {
    const { sink, client } = side.connect();
    await append(1);
    sink.bufferedBytes = KIB * KIB;
    await append(2, 3);
    await log.beginAnew(newAlarm(1));
    sink.bufferedBytes = 0;
    client.wake();
    await settle();
    expect(heard(sink)).toEqual(['e1.1', 'gap e1.1 e2.1 epoch', 'e2.1']);
  });

  test('is told to a client that is behind', async () => {
    const { sink, client } = side.connect();
    await append(1, 30, KIB);
    expect(client.behindBy).toBeGreaterThan(10);
    const before = heard(sink);
    await log.beginAnew(...newAlarms(1, 3));
    for (const { n } of sink.marks()) client.confirmMark(n, 'message', 0);
    await settle();
    expect(heard(sink)).toEqual([...before, `gap ${before.at(-1)} e2.1 epoch`, 'e2.1', 'e2.2', 'e2.3']);
    expect(client.behindBy).toBe(0);
  });

  test('twice, before a client could be told, is told twice', async () => {
    const { sink, client } = side.connect();
    await append(1);
    sink.bufferedBytes = KIB * KIB;
    await log.beginAnew(newAlarm(1));
    const second = now();
    await settle();
    await log.beginAnew(newAlarm(1));
    sink.bufferedBytes = 0;
    client.wake();
    await settle();
    expect(heard(sink)).toEqual(['e1.1', `gap e1.1 ${second}.1 epoch`, `gap ${second}.0 e2.1 epoch`, 'e2.1']);
  });

  test.each(['at the head', 'behind'])('closes a client on the plain wire, %s', async (where) => {
    const { sink, client } = side.connect({ format: WireFormat.plain });
    await append(1, where === 'behind' ? 30 : 1, KIB);
    expect(client.behindBy > 0).toBe(where === 'behind');
    const before = sink.texts();
    await log.beginAnew(newAlarm(1));
    await settle();
    expect(sink.closed).toEqual(OVERTAKEN);
    expect(sink.texts()).toEqual(before);
  });

  test('tells nothing of what was read before', async () => {
    await append(1, 500);
    side.pages.open();
    const gate = new Gate();
    log.hold = gate.opened;
    const { sink } = side.connect({ start: { epoch: first, position: 100, prelude: [] } });
    await log.append(newAlarms(501, 510));
    await settle();
    await log.beginAnew(...newAlarms(1, 2));
    log.hold = undefined;
    gate.open();
    await settle();
    expect(heard(sink)).toEqual(['gap e1.100 e2.1 epoch', 'e2.1', 'e2.2']);
    expect(side.pages.head).toBe(2);
  });
});

describe('a connection that is opened in between', () => {
  test.each<[string, WireFormat, string[], typeof OVERTAKEN | undefined]>([
    ['is told', WireFormat.pushV1, ['ready e1.1', 'gap e1.1 e2.1 epoch', 'e2.1', 'e2.2'], undefined],
    ['is closed on the plain wire', WireFormat.plain, [], OVERTAKEN],
  ])('%s', async (_, format, messages, closed) => {
    await append(1, 3);
    const place = await find({ replay: 2 });
    await log.beginAnew(...newAlarms(1, 2));
    const { sink } = side.admit(place, format, accepts);
    await settle();
    expect([heard(sink), sink.closed]).toEqual([messages, closed]);
  });

  test('gets no conditions of before', async () => {
    await log.append([newAlarm(1, { conditionId: 'a', active: true })]);
    await settle();
    const place = await find({ replay: 'active' });
    await log.beginAnew(newAlarm(1));
    const { sink } = side.admit(place, WireFormat.pushV1, accepts);
    await settle();
    expect(heard(sink)).toEqual(['ready e1.0', 'gap e1.0 e2.1 epoch', 'e2.1']);
  });

  test.each<[string, Partial<AlarmRequest>, string[]]>([
    ['replay=1', { replay: 1 }, ['ready e2.1', 'e2.2']],
    ['replay=active', { replay: 'active' }, ['ready e2.0', 'e2.1', 'heartbeat e2.2']],
  ])('%s, found while the log begins anew, is a place in the new epoch', async (_, request, messages) => {
    await log.append([newAlarm(1, { conditionId: 'a', active: true }), ...newAlarms(2, 9)]);
    await settle();
    const gate = new Gate();
    log.hold = log.holdActive = gate.opened;
    const finding = find(request);
    await turn();
    await log.beginAnew(newAlarm(1, { conditionId: 'b', active: true }), newAlarm(2));
    log.hold = log.holdActive = undefined;
    gate.open();
    const { sink } = side.admit(await finding, WireFormat.pushV1, accepts);
    await settle();
    expect(heard(sink)).toEqual(messages);
  });
});

describe('a connection that comes from another node', () => {
  test('resumes after what this one has not heard of yet', async () => {
    await append(1, 3);
    log.unheard = newAlarms(4, 5);
    const place = await find({ lastEventId: { epoch: first, offset: 5 } });
    expect(place.gap).toBeUndefined();
    const { sink } = side.admit(place, WireFormat.pushV1, accepts);
    await settle();
    await append(6);
    expect(heard(sink)).toEqual(['ready e1.5', 'e1.6']);
  });

  test('begins behind what it has acknowledged there', async () => {
    await append(1, 3);
    log.unheard = newAlarms(4, 5);
    const { generation } = await side.store.open(PHONE, { epoch: first, offset: 0 });
    await side.store.acknowledge(PHONE, generation, { epoch: first, offset: 5 });
    expect(await find({ durable: 'phone' })).toMatchObject({ start: { position: 5 }, gap: undefined });
  });

  test('is told that nobody got so far', async () => {
    await append(1, 3);
    const { gap } = await find({ lastEventId: { epoch: first, offset: 5 } });
    expect(gap).toMatchObject({ reason: 'ahead' });
  });
});

/** A connection of the durable subscription. */
async function connectDurable(maxUnacked = 100) {
  side.close();
  side = new AlarmSide(log, { maxUnacked }, side.store);
  side.tail.onApplicationBootstrap();
  const { client, sink } = side.admit(await find({ durable: 'phone' }), WireFormat.pushV1, accepts);
  return { sink, client, acknowledge: (at: ReturnType<typeof cursor>) => side.registry.acknowledge(client, at) };
}

describe('a durable subscription whose log begins anew', () => {
  test('acknowledges there', async () => {
    const { acknowledge } = await connectDurable();
    await append(1, 5);
    acknowledge(cursor(5));
    await settle();
    await log.beginAnew(...newAlarms(1, 2));
    await settle();
    expect(acknowledge(cursor(3))).toBe('ackAhead');
    expect(acknowledge(cursor(2))).toBeUndefined();
    await settle();
    expect(await stored()).toEqual(cursor(2));
  });

  test('acknowledges nothing of before, and is not blamed for it', async () => {
    const { acknowledge, sink } = await connectDurable();
    await append(1, 5);
    await log.beginAnew(newAlarm(1));
    await settle();
    expect(acknowledge(cursor(5, first))).toBeUndefined();
    expect(acknowledge(cursor(5, 'another'))).toBe('ackAhead');
    await settle();
    expect(await stored()).toEqual(cursor(0, first));
    expect(sink.closed).toBeUndefined();
  });

  test('is sent as many as before it has to acknowledge', async () => {
    const { acknowledge, sink } = await connectDurable(2);
    await append(1, 5);
    expect(heard(sink)).toEqual(['ready e1.0', 'e1.1', 'e1.2']);
    await log.beginAnew(...newAlarms(1, 5));
    await settle();
    expect(heard(sink).slice(3)).toEqual(['gap e1.2 e2.1 epoch', 'e2.1', 'e2.2']);
    acknowledge(cursor(2));
    await settle();
    expect(heard(sink).slice(6)).toEqual(['e2.3', 'e2.4']);
  });

  test('that an acknowledgement of before is stored late, changes nothing in the new epoch', async () => {
    const { acknowledge, sink } = await connectDurable(2);
    await append(1, 2);
    const save = side.store.acknowledge.bind(side.store);
    const gate = new Gate();
    side.store.acknowledge = async (...parameters) => {
      await gate.opened;
      return save(...parameters);
    };
    acknowledge(cursor(2));
    await log.beginAnew(...newAlarms(1, 5));
    await settle();
    gate.open();
    await settle();
    expect(heard(sink).slice(4)).toEqual(['e2.1', 'e2.2']);
    acknowledge(cursor(1));
    await settle();
    expect(await stored()).toEqual(cursor(1));
    expect(heard(sink).slice(6)).toEqual(['e2.3']);
  });

  test('is put back where the store has lost it too, so that whoever comes back hears of the gap', async () => {
    const { acknowledge, client, sink } = await connectDurable();
    await append(1, 5);
    acknowledge(cursor(3));
    await settle();
    const restored: unknown[] = [];
    Object.assign(side.store, {
      restore: async (...parameters: unknown[]) => {
        restored.push(parameters);
        return true;
      },
    });
    await side.store.delete(PHONE);
    await log.beginAnew(...newAlarms(1, 2));
    await settle();
    expect(restored).toEqual([[PHONE, expect.any(Number), cursor(3, first)]]);
    acknowledge(cursor(1));
    await settle();
    expect(restored[1]).toEqual([PHONE, expect.any(Number), cursor(1)]);
    expect([client.state, sink.closed]).toEqual(['open', undefined]);
  });
});

describe('alarms that are removed by hand', () => {
  test('in the middle of what is out next: told where they are missing', async () => {
    const { sink } = side.connect();
    const plain = side.connect({ format: WireFormat.plain });
    await append(1);
    log.remove(3, 4, 7);
    await append(2, 8);
    expect(heard(sink)).toEqual([
      'e1.1',
      'e1.2',
      'gap e1.2 e1.5 retention',
      'e1.5',
      'e1.6',
      'gap e1.6 e1.8 retention',
      'e1.8',
    ]);
    expect(plain.sink.texts()).toHaveLength(2);
    expect(plain.sink.closed).toEqual(OVERTAKEN);
  });

  test('the newest: told before the next one comes', async () => {
    const { sink } = side.connect();
    log.remove(2, 3);
    await append(1, 3);
    expect(heard(sink)).toEqual(['e1.1', 'gap e1.1 e1.4 retention']);
    await append(4);
    expect(heard(sink).slice(2)).toEqual(['e1.4']);
  });

  test('all: told', async () => {
    const { sink } = side.connect();
    log.remove(...Array.from({ length: 500 }, (_, i) => i + 1));
    await append(1, 500);
    expect(heard(sink)).toEqual(['gap e1.0 e1.501 retention']);
  });

  test('of what is read for whoever is behind: told where they are missing', async () => {
    await append(1, 1500);
    log.remove(50, 199, 200, 201, 1200);
    const start = { epoch: now(), position: 48, prelude: [] };
    side.pages.open();
    const { sink, client } = side.connect({ start });
    for (let round = 0; client.behindBy > 0; round++) {
      if (round > 1000) throw new Error('it does not catch up');
      for (const { n } of sink.marks()) client.confirmMark(n, 'message', 0);
      await settle();
    }
    const messages = heard(sink);
    expect(messages.filter((text) => text.startsWith('gap'))).toEqual([
      'gap e1.49 e1.51 retention',
      'gap e1.198 e1.202 retention',
      'gap e1.1199 e1.1201 retention',
    ]);
    const offsets = messages.filter((text) => !text.startsWith('gap')).map((id) => Number(id.split('.')[1]));
    const kept = Array.from({ length: 1500 }, (_, i) => i + 1).filter(
      (n) => n > 48 && ![50, 199, 200, 201, 1200].includes(n),
    );
    expect(offsets).toEqual(kept);
  });
});
