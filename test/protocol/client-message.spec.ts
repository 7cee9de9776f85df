import { describe, expect, test } from '@jest/globals';
import { BadMessageError, parseClientMessage } from '../../src/protocol/client-message.js';

const SUBSCRIBE = { event: 'subscribe', data: { keys: [{ businessType: 'dev', businessId: '1' }] } };

function errorOf(text: string): BadMessageError {
  try {
    parseClientMessage(text);
  } catch (cause) {
    if (cause instanceof BadMessageError) return cause;
    throw cause;
  }
  throw new Error(`was taken: ${text.slice(0, 80)}`);
}

const withKey = (key: unknown) => JSON.stringify({ event: 'subscribe', ref: 7, data: { keys: [key] } });
const withHistory = (history: string) =>
  `{"event":"subscribe","data":{"keys":[{"businessType":"a","businessId":"b","history":${history}}]}}`;

describe('what a client may send', () => {
  test('subscribe, with what it asks of each key; unknown fields are left out', () => {
    const keys = [
      { businessType: 'dev', businessId: '1' },
      { businessType: 'dev', businessId: '*', maxFrequencyHz: 0.5, snapshot: true, history: 100, future: 1 },
      { businessType: 'dev', businessId: '2', maxFrequencyHz: 1000, snapshot: false, history: 0 },
    ];
    expect(
      parseClientMessage(JSON.stringify({ event: 'subscribe', ref: 'r', data: { keys, more: 1 }, extra: 1 })),
    ).toEqual({
      event: 'subscribe',
      ref: 'r',
      data: {
        keys: [
          { businessType: 'dev', businessId: '1' },
          { businessType: 'dev', businessId: '*', maxFrequencyHz: 0.5, snapshot: true, history: 100 },
          { businessType: 'dev', businessId: '2', maxFrequencyHz: 1000, snapshot: false, history: 0 },
        ],
      },
    });
  });

  test('subscribe and unsubscribe with no key at all', () => {
    expect(parseClientMessage('{"event":"subscribe","data":{"keys":[]}}').data).toEqual({ keys: [] });
    expect(parseClientMessage('{"event":"unsubscribe","data":{"keys":[]}}').data).toEqual({ keys: [] });
  });

  test('unsubscribe, with addresses only', () => {
    const message = {
      ...SUBSCRIBE,
      event: 'unsubscribe',
      data: { keys: [{ businessType: 'a', businessId: 'b', history: -1 }] },
    };
    expect(parseClientMessage(JSON.stringify(message))).toEqual({
      event: 'unsubscribe',
      ref: undefined,
      data: { keys: [{ businessType: 'a', businessId: 'b' }] },
    });
  });

  test('1000 keys in one message', () => {
    const keys = Array.from({ length: 1000 }, (_, i) => ({ businessType: 'dev', businessId: `${i}` }));
    expect(parseClientMessage(JSON.stringify({ event: 'subscribe', data: { keys } })).data).toEqual({ keys });
  });

  test.each([0, 1, 4711, Number.MAX_SAFE_INTEGER])('mark %d', (n) => {
    expect(parseClientMessage(`{"event":"mark","data":{"n":${n}}}`)).toEqual({
      event: 'mark',
      ref: undefined,
      data: { n },
    });
  });

  test.each(['chat', '__proto__', 'constructor', 'toString', 'SUBSCRIBE', ' subscribe', '电', 'x'.repeat(64)])(
    'an event of its own: %j',
    (name) => {
      const message = JSON.stringify({ event: name, ref: 1, data: { a: [1] } });
      expect(parseClientMessage(message)).toEqual({ event: 'other', name, ref: 1, data: { a: [1] } });
    },
  );

  test.each([[0], [-1.5], [1e300], [''], ['x'.repeat(64)]])('the ref %j', (ref) => {
    expect(parseClientMessage(JSON.stringify({ event: 'x', ref })).ref).toBe(ref);
  });

  test('data 10,000 levels deep, for the application to judge', () => {
    const depth = 10_000;
    const message = parseClientMessage(`{"event":"x","data":${'['.repeat(depth)}${']'.repeat(depth)}}`);
    expect(message.event).toBe('other');
  });
});

describe('what a client may not send', () => {
  test.each([
    ['nothing', ''],
    ['text', 'hello'],
    ['half of JSON', '{"event":"mark"'],
    ['two messages', '{"event":"x"}{"event":"x"}'],
    ['null', 'null'],
    ['a number', '1'],
    ['a string', '"subscribe"'],
    ['an array', '[{"event":"subscribe"}]'],
    ['10,000 levels of arrays', `${'['.repeat(10_000)}${']'.repeat(10_000)}`],
    ['10,000 levels, cut off', '['.repeat(10_000)],
    ['10,000 levels of objects', `${'{"a":'.repeat(10_000)}1${'}'.repeat(10_000)}`],
    ['no event', '{}'],
    ['an empty event', '{"event":""}'],
    ['an event that is null', '{"event":null}'],
    ['an event that is a number', '{"event":1}'],
    ['an event that is an array', '{"event":["subscribe"]}'],
    ['an event of 65 characters', `{"event":"${'x'.repeat(65)}"}`],
    ['an event by way of the prototype', '{"__proto__":{"event":"subscribe","data":{"keys":[]}}}'],
    ['an event by way of the constructor', '{"constructor":{"prototype":{"event":"x"}}}'],
    ['a ref that is null', '{"event":"x","ref":null}'],
    ['a ref that is an object', '{"event":"x","ref":{"a":1}}'],
    ['a ref that is true', '{"event":"x","ref":true}'],
    ['a ref of 65 characters', `{"event":"x","ref":"${'x'.repeat(65)}"}`],
    ['a ref that is no finite number', '{"event":"x","ref":1e999}'],
    ['subscribe without data', '{"event":"subscribe"}'],
    ['subscribe with null', '{"event":"subscribe","data":null}'],
    ['subscribe with an array', '{"event":"subscribe","data":[{"businessType":"a","businessId":"b"}]}'],
    ['subscribe with keys that are an object', '{"event":"subscribe","data":{"keys":{"length":1}}}'],
    ['subscribe with keys by way of the prototype', '{"event":"subscribe","data":{"__proto__":{"keys":[]}}}'],
    ['subscribe with a key that is null', withKey(null)],
    ['subscribe with a key that is a string', withKey('dev/1')],
    ['subscribe with a key that is an array', withKey(['dev', '1'])],
    ['subscribe without businessId', withKey({ businessType: 'dev' })],
    ['subscribe without businessType', withKey({ businessId: '1' })],
    ['subscribe with a businessId that is a number', withKey({ businessType: 'dev', businessId: 1 })],
    [
      'subscribe with parts by way of the prototype',
      withKey(JSON.parse('{"__proto__":{"businessType":"a","businessId":"b"}}')),
    ],
    [
      'subscribe with one bad key among good ones',
      JSON.stringify({ event: 'subscribe', data: { keys: [...SUBSCRIBE.data.keys, 1] } }),
    ],
    [
      '1001 keys',
      JSON.stringify({
        event: 'subscribe',
        data: { keys: Array.from({ length: 1001 }, () => SUBSCRIBE.data.keys[0]) },
      }),
    ],
    ['maxFrequencyHz 0', withKey({ businessType: 'a', businessId: 'b', maxFrequencyHz: 0 })],
    ['a negative maxFrequencyHz', withKey({ businessType: 'a', businessId: 'b', maxFrequencyHz: -1 })],
    ['maxFrequencyHz over 1000', withKey({ businessType: 'a', businessId: 'b', maxFrequencyHz: 1000.1 })],
    ['maxFrequencyHz as a string', withKey({ businessType: 'a', businessId: 'b', maxFrequencyHz: '5' })],
    ['maxFrequencyHz null', withKey({ businessType: 'a', businessId: 'b', maxFrequencyHz: null })],
    ['snapshot as a string', withKey({ businessType: 'a', businessId: 'b', snapshot: 'true' })],
    ['snapshot as a number', withKey({ businessType: 'a', businessId: 'b', snapshot: 1 })],
    ['a negative history', withHistory('-1')],
    ['half a history', withHistory('1.5')],
    ['an endless history', withHistory('1e999')],
    ['a history as a string', withHistory('"10"')],
    ['unsubscribe without keys', '{"event":"unsubscribe","data":{}}'],
    ['a mark without a number', '{"event":"mark"}'],
    ['a mark with a string', '{"event":"mark","data":{"n":"1"}}'],
    ['a mark with a fraction', '{"event":"mark","data":{"n":1.5}}'],
    ['a mark beyond all numbers', '{"event":"mark","data":{"n":1e999}}'],
    ['a mark beyond 2^53', '{"event":"mark","data":{"n":9007199254740993}}'],
    ['a mark as an array', '{"event":"mark","data":[1]}'],
  ])('%s', (_, text) => {
    const { message } = errorOf(text);
    expect(message).not.toBe('');
    expect(message.length).toBeLessThan(120);
  });

  test('what is wrong is said without quoting it', () => {
    const { message } = errorOf('{"event":"subscribe","data":{"keys":["<script>secret"]}}');
    expect(message).not.toMatch(/script|secret/);
  });

  test('the ref is known to the error where it could be read', () => {
    expect(errorOf(withKey(null)).ref).toBe(7);
    expect(errorOf('{"ref":"r","event":1}').ref).toBe('r');
    expect(errorOf('{"ref":[],"event":"x"}').ref).toBeUndefined();
    expect(errorOf('nonsense').ref).toBeUndefined();
  });

  test('nothing that was sent changes the prototype of objects', () => {
    const texts = ['{"event":"x","data":{"__proto__":{"polluted":1}}}', '{"event":"x","__proto__":{"polluted":1}}'];
    for (const text of texts) parseClientMessage(text);
    expect(Object.hasOwn(Object.prototype, 'polluted')).toBe(false);
  });
});
