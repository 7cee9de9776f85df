import { describe, expect, test } from '@jest/globals';
import { parseSubscription } from '../../src/gateway/subscription.query.js';

const parse = (query: string) => parseSubscription(new URLSearchParams(query));

describe('what the query of the raw-data path asks for', () => {
  test.each<[string, object]>([
    ['', {}],
    ['other=1&businessType=x', {}],
    ['maxFrequencyHz=10', { maxFrequencyHz: 10 }],
    ['maxFrequencyHz=0.5', { maxFrequencyHz: 0.5 }],
    ['maxFrequencyHz=.5', { maxFrequencyHz: 0.5 }],
    ['maxFrequencyHz=007', { maxFrequencyHz: 7 }],
    ['maxFrequencyHz=1000', { maxFrequencyHz: 1000 }],
    ['snapshot=true', { snapshot: true }],
    ['snapshot=false', { snapshot: false }],
    ['history=0', { history: 0 }],
    ['history=100', { history: 100 }],
    ['history=999999999', { history: 999_999_999 }],
    ['maxFrequencyHz=2&snapshot=true&history=3', { maxFrequencyHz: 2, snapshot: true, history: 3 }],
  ])('?%s', (query, expected) => {
    expect(parse(query)).toEqual(expected);
  });

  const faulty = {
    maxFrequencyHz: [
      '',
      '0',
      '0.0',
      '-1',
      '+1',
      '1e3',
      '1000.1',
      '1001',
      'NaN',
      'Infinity',
      '5.',
      '.',
      '1,5',
      ' 1',
      'ten',
    ],
    snapshot: ['', '1', '0', 'yes', 'TRUE', 'true '],
    history: ['', '-1', '+1', '1.5', '1e3', '1000000000', 'all', ' 1', '0x10', '９'],
  };
  test.each(Object.entries(faulty).flatMap(([name, values]) => values.map((value): [string, string] => [name, value])))(
    '%s=%p is refused with 400, by name',
    (name, value) => {
      expect(parse(new URLSearchParams({ [name]: value }).toString())).toEqual({
        status: 400,
        error: 'parameter',
        message: expect.stringContaining(name),
      });
    },
  );

  test('one bad parameter among good ones is refused', () => {
    expect(parse('maxFrequencyHz=2&snapshot=maybe&history=3')).toMatchObject({ status: 400 });
  });
});
