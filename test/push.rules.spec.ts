import { describe, expect, test } from '@jest/globals';
import { InvalidPushError, PayloadTooLargeError } from '../src/push.errors.js';
import {
  checkAlarm,
  checkIsOneOf,
  checkPushOptions,
  checkRawDatum,
  defaultSeriesOf,
  encodePayload,
  MAX_ALARM_BYTES,
  MAX_RAW_DATUM_BYTES,
} from '../src/push.rules.js';
import type { Alarm, PushRawDataOptions, RawDatum } from '../src/push.types.js';

function fieldOf(check: () => void): string {
  try {
    check();
  } catch (cause) {
    if (cause instanceof InvalidPushError) return cause.field;
    throw cause;
  }
  throw new Error('it was accepted');
}

const LONG = 'x'.repeat(129);

describe('raw data', () => {
  test.each<[RawDatum]>([
    [{ businessType: 'dev' }],
    [{ businessType: 'dev', businessId: '' }],
    [{ businessType: 'dev', businessId: undefined } as unknown as RawDatum],
    [{ businessType: 'a:b', businessId: '电%', series: '', extra: { any: [1] } }],
    [{ businessType: 'dev', businessId: '1', series: LONG }],
    [{ businessType: 'dev', series: 5 } as unknown as RawDatum],
  ])('%j is one', (datum) => {
    expect(() => checkRawDatum(datum)).not.toThrow();
  });

  test.each<[unknown, string]>([
    [null, 'the datum'],
    [undefined, 'the datum'],
    ['text', 'the datum'],
    [[{ businessType: 'dev' }], 'the datum'],
    [{}, 'businessType'],
    [{ businessId: '1' }, 'businessType'],
    [{ businessType: '' }, 'businessType'],
    [{ businessType: 1 }, 'businessType'],
    [{ businessType: '*' }, 'businessType'],
    [{ businessType: LONG }, 'businessType'],
    [{ businessType: 'a\0' }, 'businessType'],
    [{ businessType: 'dev', businessId: '*' }, 'businessId'],
    [{ businessType: 'dev', businessId: '..' }, 'businessId'],
    [{ businessType: 'dev', businessId: 1 }, 'businessId'],
    [{ businessType: 'dev', businessId: null }, 'businessId'],
    [{ businessType: 'dev', businessId: LONG }, 'businessId'],
  ])('%j is none: %s', (datum, field) => {
    expect(fieldOf(() => checkRawDatum(datum as RawDatum))).toBe(field);
  });
});

describe('options of a push', () => {
  test.each<[PushRawDataOptions]>([
    [{}],
    [{ except: 'c1' }],
    [{ to: { userName: 'alice' } }],
    [{ to: { clientId: 'c' } }],
    [{ to: { businessType: 'dev' } }],
    [{ to: { businessType: 'dev', businessId: '1', userName: 'u', clientId: 'c' }, except: 'd' }],
  ])('%j are usable', (options) => {
    expect(() => checkPushOptions(options)).not.toThrow();
  });

  test.each<[string, unknown, string]>([
    ['an empty to', { to: {} }, 'to'],
    ['to undefined', { to: undefined }, 'to'],
    ['to null', { to: null }, 'to'],
    ['to a string', { to: 'alice' }, 'to'],
    ['to an array', { to: [] }, 'to'],
    ['an empty part', { to: { userName: '' } }, 'to.userName'],
    ['an undefined part', { to: { userName: undefined } }, 'to.userName'],
    ['an undefined part beside a good one', { to: { userName: 'u', clientId: undefined } }, 'to.clientId'],
    ['a null part', { to: { businessType: null } }, 'to.businessType'],
    ['a wildcard', { to: { businessType: 'dev', businessId: '*' } }, 'to.businessId'],
    ['an unknown part', { to: { user: 'alice' } }, 'to.user'],
    ['an unknown part beside a good one', { to: { userName: 'u', orgId: 'acme' } }, 'to.orgId'],
    ['a businessId without its type', { to: { businessId: '1' } }, 'to.businessId'],
    ['a businessId with a user only', { to: { businessId: '1', userName: 'u' } }, 'to.businessId'],
    ['a part that is too long', { to: { clientId: LONG } }, 'to.clientId'],
    ['a part that is an array', { to: { userName: ['a'] } }, 'to.userName'],
    ['an empty except', { except: '' }, 'except'],
    ['except null', { except: null }, 'except'],
    ['except an array', { except: ['c1'] }, 'except'],
    ['an unknown option', { userName: 'alice' }, 'userName'],
    ['a misspelt option', { To: { userName: 'alice' } }, 'To'],
  ])('%s is not usable', (_, options, field) => {
    expect(fieldOf(() => checkPushOptions(options as PushRawDataOptions))).toBe(field);
  });
});

describe('alarms', () => {
  test.each<[Alarm]>([
    [{ businessId: '1' }],
    [
      {
        businessId: '电:1',
        businessType: 'dev',
        severity: 1,
        orgId: 'acme/plant1',
        conditionId: 'c',
        active: true,
        eventId: 'e',
      },
    ],
    [{ businessId: '1', severity: 1000, orgId: 'acme', conditionId: 'x'.repeat(128), active: false, extra: null }],
    [{ businessId: '1', conditionId: 'c' }],
  ])('%j is one', (alarm) => {
    expect(() => checkAlarm(alarm)).not.toThrow();
  });

  test.each<[unknown, string]>([
    [null, 'the alarm'],
    [[], 'the alarm'],
    ['x', 'the alarm'],
    [{}, 'businessId'],
    [{ businessId: '' }, 'businessId'],
    [{ businessId: 1 }, 'businessId'],
    [{ businessId: '*' }, 'businessId'],
    [{ businessId: '1', businessType: '' }, 'businessType'],
    [{ businessId: '1', businessType: null }, 'businessType'],
    [{ businessId: '1', severity: 0 }, 'severity'],
    [{ businessId: '1', severity: 1001 }, 'severity'],
    [{ businessId: '1', severity: 1.5 }, 'severity'],
    [{ businessId: '1', severity: '500' }, 'severity'],
    [{ businessId: '1', severity: null }, 'severity'],
    [{ businessId: '1', severity: Number.NaN }, 'severity'],
    [{ businessId: '1', active: true }, 'conditionId'],
    [{ businessId: '1', active: 'yes', conditionId: 'c' }, 'active'],
    [{ businessId: '1', active: 0, conditionId: 'c' }, 'active'],
    [{ businessId: '1', conditionId: '' }, 'conditionId'],
    [{ businessId: '1', conditionId: LONG }, 'conditionId'],
    [{ businessId: '1', conditionId: 7 }, 'conditionId'],
    [{ businessId: '1', eventId: '' }, 'eventId'],
    [{ businessId: '1', eventId: LONG }, 'eventId'],
    [{ businessId: '1', eventId: '电'.repeat(43) }, 'eventId'],
    [{ businessId: '1', orgId: '' }, 'orgId'],
    [{ businessId: '1', orgId: '/' }, 'orgId'],
    [{ businessId: '1', orgId: 'acme/' }, 'orgId'],
    [{ businessId: '1', orgId: '/acme' }, 'orgId'],
    [{ businessId: '1', orgId: 'acme//plant' }, 'orgId'],
    [{ businessId: '1', orgId: '*' }, 'orgId'],
    [{ businessId: '1', orgId: 'acme/*' }, 'orgId'],
    [{ businessId: '1', orgId: '../acme' }, 'orgId'],
    [{ businessId: '1', orgId: LONG }, 'orgId'],
    [{ businessId: '1', orgId: ['acme'] }, 'orgId'],
  ])('%j is none: %s', (alarm, field) => {
    expect(fieldOf(() => checkAlarm(alarm as Alarm))).toBe(field);
  });
});

const encode = (payload: object) => encodePayload(payload, 'raw datum', 100);

describe('encodePayload', () => {
  test('is the JSON of the object', () => {
    expect(encode({ a: [1, '电'] })).toBe('{"a":[1,"电"]}');
  });

  test('what JSON cannot carry names its place', () => {
    expect(fieldOf(() => encode({ values: [1, { x: Number.NaN }] }))).toBe('values[1].x');
  });

  test('the limit is in bytes, and inclusive', () => {
    expect(encode({ a: 'x'.repeat(92) })).toHaveLength(100);
    expect(() => encode({ a: 'x'.repeat(93) })).toThrow(PayloadTooLargeError);
    expect(encode({ a: `${'电'.repeat(30)}xx` })).toHaveLength(40);
    expect(() => encode({ a: '电'.repeat(31) })).toThrow(PayloadTooLargeError);
  });

  test('the error says how large it is, how large it may be, and what to do', () => {
    expect(() => encodePayload({ a: 'x'.repeat(MAX_ALARM_BYTES) }, 'alarm', MAX_ALARM_BYTES)).toThrow(
      expect.objectContaining({ bytes: 65_544, maxBytes: 65_536, message: expect.stringContaining('alarm') }),
    );
  });

  test('a raw datum may have 1 MiB, an alarm 64 KiB', () => {
    expect([MAX_RAW_DATUM_BYTES, MAX_ALARM_BYTES]).toEqual([1_048_576, 65_536]);
  });
});

describe('the series of a datum', () => {
  test.each<[unknown, string]>([
    ['temperature', 'temperature'],
    ['x'.repeat(128), 'x'.repeat(128)],
    ['', ''],
    [LONG, ''],
    ['电'.repeat(43), ''],
    [7, ''],
    [null, ''],
    [undefined, ''],
    [{ toString: () => 'x' }, ''],
  ])('%j is %j', (series, expected) => {
    expect(defaultSeriesOf({ businessType: 'dev', series } as RawDatum)).toBe(expected);
  });
});

describe('whose connections end', () => {
  const NAMES = ['userName', 'clientId'];

  test('one name with a text', () => {
    for (const target of [{ userName: 'ann' }, { clientId: 'c1' }, { userName: 'ann', clientId: undefined }]) {
      expect(() => checkIsOneOf(target, NAMES)).not.toThrow();
    }
  });

  test.each<[unknown, string]>([
    [{}, 'the target'],
    [{ userName: undefined }, 'the target'],
    [{ userName: 'ann', clientId: 'c1' }, 'the target'],
    [{ tokenId: 't1' }, 'the target'],
    [{ userName: '' }, 'userName'],
    [{ userName: null }, 'userName'],
    [{ clientId: 7 }, 'clientId'],
    [null, 'the target'],
    ['ann', 'the target'],
  ])('never everybody: %j', (target, field) => {
    expect(fieldOf(() => checkIsOneOf(target as object, NAMES))).toBe(field);
  });
});
