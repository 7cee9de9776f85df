import { Injectable, Module } from '@nestjs/common';
import { Test } from '@nestjs/testing';
import { beforeEach, describe, expect, test } from '@jest/globals';
import {
  AlarmNotAcceptedError,
  EventIdConflictError,
  InvalidPushError,
  PayloadTooLargeError,
  PushModule,
  PushService,
} from '../../src/index.js';
import { FakePushService, PushTestingModule, TestClock } from '../../src/testing/index.js';

const METER = { businessType: 'meter', businessId: 'm-7' };
let clock: TestClock;
let push: FakePushService;

beforeEach(() => {
  clock = new TestClock(1000);
  push = new FakePushService({ now: clock.now });
});

describe('raw data', () => {
  test('are recorded as clients would read them, in order, with where they went and when', () => {
    push.pushRawData({ ...METER, series: 'kw', at: new Date(0), nothing: undefined });
    clock.advance(500);
    push.pushRawData({ businessType: 'meter' }, { to: { userName: 'ann' }, except: 'c1' });
    expect(push.rawData).toStrictEqual([
      { datum: { ...METER, series: 'kw', at: '1970-01-01T00:00:00.000Z' }, matched: 0, pushedAtMs: 1000 },
      { datum: { businessType: 'meter' }, to: { userName: 'ann' }, except: 'c1', matched: 0, pushedAtMs: 1500 },
    ]);
  });

  test('are not changed by what the application does to its object afterwards', () => {
    const datum = { ...METER, value: 1 };
    push.pushRawData(datum);
    datum.value = 2;
    expect(push.rawData[0]?.datum['value']).toBe(1);
  });

  test('match as many clients as the test says', () => {
    expect(push.pushRawData(METER)).toEqual({ matched: 0 });
    expect(push.setMatched(3).pushRawDataAll([METER, METER])).toEqual({ matched: 6 });
    push.setMatched((datum, { to }) => (to?.userName === 'ann' ? 2 : Number(datum['value'])));
    expect(push.pushRawData({ ...METER, value: 5 })).toEqual({ matched: 5 });
    expect(push.pushRawData(METER, { to: { userName: 'ann' } })).toEqual({ matched: 2 });
    expect(push.rawData.map(({ matched }) => matched)).toEqual([0, 3, 3, 5, 2]);
  });

  test.each([
    ['a part that cannot be', () => push.pushRawData({ businessType: '..' }), 'businessType'],
    ['an empty `to`', () => push.pushRawData(METER, { to: {} }), 'to'],
    ['what JSON cannot carry', () => push.pushRawData({ ...METER, value: NaN }), 'value'],
    ['one of several', () => push.pushRawDataAll([METER, { ...METER, value: 1n }]), '[1].value'],
  ])('%s is the error of production, and nothing is recorded', (_, attempt, field) => {
    expect(attempt).toThrow(expect.objectContaining({ name: InvalidPushError.name, field }));
    expect(push.rawData).toEqual([]);
  });

  test('that are too large are an error', () => {
    expect(() => push.pushRawData({ ...METER, text: 'x'.repeat(1024 * 1024) })).toThrow(PayloadTooLargeError);
  });

  test('whose series cannot be told are an error', () => {
    const fake = new FakePushService({ seriesOf: ({ quantity }) => (quantity as string).trim() });
    expect(() => fake.pushRawData(METER)).toThrow(InvalidPushError);
  });
});

describe('alarms', () => {
  const ALARM = { businessId: 'm-7', severity: 700, eventId: 'e1' };

  test('are recorded with the cursor of their receipt', async () => {
    const receipts = await push.pushAlarms([ALARM, { businessId: 'm-8' }]);
    expect(receipts).toEqual([
      { cursor: expect.stringMatching(/\.1$/), duplicate: false },
      { cursor: expect.stringMatching(/\.2$/), duplicate: false },
    ]);
    expect(push.alarms).toStrictEqual([
      { alarm: ALARM, cursor: receipts[0]?.cursor, pushedAtMs: 1000 },
      { alarm: { businessId: 'm-8' }, cursor: receipts[1]?.cursor, pushedAtMs: 1000 },
    ]);
  });

  test('of the same eventId are there once, and a conflict with other content', async () => {
    const first = await push.pushAlarm(ALARM);
    expect(await push.pushAlarm(ALARM)).toEqual({ cursor: first.cursor, duplicate: true });
    await expect(push.pushAlarm({ ...ALARM, severity: 1 })).rejects.toThrow(EventIdConflictError);
    expect(push.alarms).toHaveLength(1);
  });

  test('of an eventId that the log has forgotten are there again', async () => {
    await push.pushAlarm(ALARM);
    clock.advance(8 * 24 * 3_600_000);
    await push.pushAlarm({ businessId: 'm-8' });
    expect(await push.pushAlarm(ALARM)).toMatchObject({ duplicate: false });
  });

  test('that break a rule are the error of production', async () => {
    await expect(push.pushAlarm({ businessId: 'm-7', severity: 0 })).rejects.toThrow(InvalidPushError);
    await expect(push.pushAlarms([ALARM, { businessId: '' }])).rejects.toMatchObject({ field: '[1].businessId' });
    expect(push.alarms).toEqual([]);
  });

  test('are not taken where the test wants it so', async () => {
    await expect(push.setAlarmLog('rejected').pushAlarm(ALARM)).rejects.toMatchObject({
      name: AlarmNotAcceptedError.name,
      outcome: 'rejected',
    });
    expect(push.alarms).toEqual([]);
    expect(await push.setAlarmLog('accepted').pushAlarm(ALARM)).toMatchObject({ duplicate: false });
  });

  test('are taken without a receipt where the test wants it so: whoever repeats them needs the eventId', async () => {
    push.setAlarmLog('unknown');
    await expect(push.pushAlarm(ALARM)).rejects.toMatchObject({ outcome: 'unknown' });
    expect(push.alarms).toHaveLength(1);
    expect(await push.setAlarmLog('accepted').pushAlarm(ALARM)).toMatchObject({ duplicate: true });
  });
});

test('sessions that are ended are recorded, and are as many as the test says', async () => {
  expect(push.disconnect({ userName: 'ann' })).toBe(0);
  push.setClosed(2);
  expect(push.disconnect({ userName: 'bob' }, { code: 4000, reason: 'moved' })).toBe(2);
  expect(push.disconnect({ clientId: 'c1' })).toBe(2);
  expect(await push.revoke({ tokenId: 't1' })).toBe(2);
  expect(push.disconnects).toEqual([
    { userName: 'ann', code: 4403, reason: 'forbidden' },
    { userName: 'bob', code: 4000, reason: 'moved' },
    { clientId: 'c1', code: 4403, reason: 'forbidden' },
  ]);
  expect(push.revocations).toEqual([{ tokenId: 't1' }]);
  expect(() => push.disconnect({ userName: 'ann' }, { code: 1005, reason: '' })).toThrow(RangeError);
});

@Injectable()
class MeterSource {
  constructor(readonly pushService: PushService) {}
}

@Module({ providers: [MeterSource], exports: [MeterSource] })
class MeterModule {}

describe('in the place of PushService', () => {
  test('it can be given to what injects that', () => {
    expect(new MeterSource(push).pushService).toBe(push);
  });

  test('it is what the modules of PushTestingModule get', async () => {
    const imports = [PushTestingModule.forRoot({ now: clock.now }), MeterModule];
    const module = await Test.createTestingModule({ imports }).compile();
    await module.init();
    const fake = module.get(FakePushService);
    expect(module.get(MeterSource).pushService).toBe(fake);
    fake.pushRawData(METER);
    expect(fake.rawData[0]?.pushedAtMs).toBe(1000);
    await module.close();
  });

  test.each([[{ useValue: true }], [{ useValue: false }]])(
    'it overrides that of PushModule: %o',
    async ({ useValue }) => {
      const imports = [PushModule.forRoot({ alarmLogPath: '' }), MeterModule];
      const override = Test.createTestingModule({ imports }).overrideProvider(PushService);
      const module = await (useValue ? override.useValue(push) : override.useClass(FakePushService)).compile();
      expect(module.get(MeterSource).pushService).toBeInstanceOf(FakePushService);
    },
  );
});
