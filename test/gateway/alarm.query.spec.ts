import { describe, expect, test } from '@jest/globals';
import { parseAlarmRequest } from '../../src/gateway/alarm.query.js';

const parse = (query: string, lastEventIdHeader?: string, isTwoWay = true) =>
  parseAlarmRequest(new URLSearchParams(query), lastEventIdHeader, isTwoWay);
const REFUSED = { status: 400, error: 'parameter' };

describe('the filter of an alarm client', () => {
  test('asks for everything where nothing is given', () => {
    expect(parse('other=1')).toEqual({
      filter: { minSeverity: undefined, businessTypes: undefined, businessIds: undefined },
      lastEventId: undefined,
      replay: undefined,
      durable: undefined,
    });
  });

  test('reads each, repeated ones as alternatives', () => {
    expect(
      parse('minSeverity=700&businessType=dev&businessType=host&businessId=%E7%94%B5&businessId=a%3Ab'),
    ).toMatchObject({
      filter: { minSeverity: 700, businessTypes: new Set(['dev', 'host']), businessIds: new Set(['电', 'a:b']) },
    });
  });

  test.each(['1', '1000', '0500'])('minSeverity %s is one', (text) => {
    expect(parse(`minSeverity=${text}`)).toMatchObject({ filter: { minSeverity: Number(text) } });
  });

  test.each(['', '0', '1001', '-1', '1.5', '1e2', '0x10', 'high', '%201', 'NaN', '00001'])(
    'minSeverity %j is none',
    (text) => {
      expect(parse(`minSeverity=${text}`)).toMatchObject(REFUSED);
    },
  );

  test.each([
    ['businessType', ''],
    ['businessType', '*'],
    ['businessId', '%00'],
    ['businessId', 'x'.repeat(129)],
    ['businessId', 'ok&businessId=..'],
  ])('%s %j is no part of a key', (name, text) => {
    expect(parse(`${name}=${text}`)).toMatchObject({ status: 400, message: expect.stringContaining(name) });
  });
});

describe('where the alarms begin', () => {
  test('after an alarm, by the query or by the header', () => {
    const lastEventId = { epoch: 'Ab-_9', offset: 12 };
    expect(parse('lastEventId=Ab-_9.12')).toMatchObject({ lastEventId });
    expect(parse('', 'Ab-_9.12')).toMatchObject({ lastEventId });
    expect(parse('lastEventId=Ab-_9.0')).toMatchObject({ lastEventId: { offset: 0 } });
  });

  test.each([
    '',
    '-1',
    'e.-1',
    'e.9007199254740992',
    'e',
    '.1',
    'e.',
    'e.01',
    'e.1.2',
    'e.1e3',
    'e f.1',
    `${'e'.repeat(33)}.1`,
  ])('lastEventId %j is none', (text) => {
    expect(parse(`lastEventId=${encodeURIComponent(text)}`)).toMatchObject(REFUSED);
    expect(parse('', text)).toMatchObject(REFUSED);
  });

  test.each([
    ['all', 'all'],
    ['active', 'active'],
    ['1', 1],
    ['1000', 1000],
  ])('replay=%s', (text, replay) => {
    expect(parse(`replay=${text}`)).toMatchObject({ replay });
    expect(parse(`replay=${text}`, undefined, false)).toMatchObject({ replay });
  });

  test.each(['', '0', '1001', '-1', '1.5', 'ALL', 'none', '00001'])('replay %j is none', (text) => {
    expect(parse(`replay=${text}`)).toMatchObject(REFUSED);
  });

  test.each(['a', 'A-z_0-9', 'x'.repeat(64)])('durable=%s', (durable) => {
    expect(parse(`durable=${durable}`)).toMatchObject({ durable });
  });

  test.each(['', 'a b', 'a.b', 'a:b', '电', 'x'.repeat(65), '../x'])('durable %j is none', (text) => {
    expect(parse(`durable=${encodeURIComponent(text)}`)).toMatchObject(REFUSED);
  });

  test.each(['lastEventId=e.1&durable=a', 'lastEventId=e.1&replay=all', 'durable=a&durable=b', 'replay=1&replay=2'])(
    '%s contradicts itself',
    (query) => {
      expect(parse(query)).toMatchObject(REFUSED);
    },
  );

  test('the plain wire has neither cursor nor durable subscription', () => {
    expect(parse('lastEventId=e.1', undefined, false)).toMatchObject(REFUSED);
    expect(parse('', 'e.1', false)).toMatchObject(REFUSED);
    expect(parse('durable=a', undefined, false)).toMatchObject(REFUSED);
  });
});
