import { describe, expect, test } from '@jest/globals';
import { parseAlarmFilter } from '../../src/gateway/alarm-filter.query.js';

const parse = (query: string) => parseAlarmFilter(new URLSearchParams(query));

describe('parseAlarmFilter', () => {
  test('asks for everything where nothing is given', () => {
    expect(parse('other=1')).toEqual({ minSeverity: undefined, businessTypes: undefined, businessIds: undefined });
  });

  test('reads each, repeated ones as alternatives', () => {
    expect(parse('minSeverity=700&businessType=dev&businessType=host&businessId=%E7%94%B5&businessId=a%3Ab')).toEqual({
      minSeverity: 700,
      businessTypes: new Set(['dev', 'host']),
      businessIds: new Set(['电', 'a:b']),
    });
  });

  test.each(['1', '1000', '0500'])('minSeverity %s is one', (text) => {
    expect(parse(`minSeverity=${text}`)).toMatchObject({ minSeverity: Number(text) });
  });

  test.each(['', '0', '1001', '-1', '1.5', '1e2', '0x10', 'high', '%201', 'NaN', '00001'])(
    'minSeverity %j is none',
    (text) => {
      expect(parse(`minSeverity=${text}`)).toMatchObject({ status: 400, error: 'parameter' });
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
