import { describe, expect, test } from '@jest/globals';
import { WireFormat } from '../../src/fan-out/frame.js';
import {
  checkRequest,
  checkWebSocketHeaders,
  chooseWireFormat,
  decodeParameters,
  isRefusal,
} from '../../src/gateway/upgrade.checks.js';
import { requestOf } from '../access/request.js';

const UPGRADE = {
  Connection: 'Upgrade',
  Upgrade: 'websocket',
  'Sec-WebSocket-Version': '13',
  'Sec-WebSocket-Key': 'dGhlIHNhbXBsZSBub25jZQ==',
};
const upgradeWith = (headers: Record<string, string | undefined>, method = 'GET') =>
  requestOf({
    method,
    headers: Object.entries({ ...UPGRADE, ...headers }).flatMap(([name, value]) =>
      value === undefined ? [] : [[name, value] as const],
    ),
  });

const headersOf = (count: number) => Array.from({ length: count }, (_, i) => [`X-${i}`, 'v'] as const);

describe('checkRequest', () => {
  test('takes 100 header lines, and refuses more with 431', () => {
    expect(checkRequest(requestOf({ headers: headersOf(100) }))).toBeUndefined();
    expect(checkRequest(requestOf({ headers: headersOf(101) }))).toMatchObject({ status: 431, error: 'headers' });
  });

  test('counts header lines, not names', () => {
    const headers = Array.from({ length: 101 }, () => ['X-Same', 'v'] as const);
    expect(checkRequest(requestOf({ headers }))?.status).toBe(431);
  });

  test('takes a URL of 2048 bytes, and refuses more with 414', () => {
    expect(checkRequest(requestOf({ url: `/${'a'.repeat(2047)}` }))).toBeUndefined();
    expect(checkRequest(requestOf({ url: `/${'a'.repeat(2048)}` }))).toMatchObject({ status: 414, error: 'url' });
    expect(checkRequest(requestOf({ url: `/${'é'.repeat(1024)}` }))?.status).toBe(414);
  });
});

describe('checkWebSocketHeaders', () => {
  test.each<[string, Record<string, string | undefined>]>([
    ['the sample of RFC 6455', {}],
    ['another case', { Upgrade: 'WebSocket' }],
    ['another key', { 'Sec-WebSocket-Key': '+/+/AAAAAAAAAAAAAAAAAA==' }],
  ])('takes %s', (_, headers) => {
    expect(checkWebSocketHeaders(upgradeWith(headers))).toBeUndefined();
  });

  test.each<[string, Record<string, string | undefined>, number, string]>([
    ['another protocol', { Upgrade: 'h2c' }, 400, 'upgrade'],
    ['no Upgrade header', { Upgrade: undefined }, 400, 'upgrade'],
    ['version 8', { 'Sec-WebSocket-Version': '8' }, 426, 'version'],
    ['no version', { 'Sec-WebSocket-Version': undefined }, 426, 'version'],
    ['two versions', { 'Sec-WebSocket-Version': '13, 8' }, 426, 'version'],
    ['no key', { 'Sec-WebSocket-Key': undefined }, 400, 'key'],
    ['an empty key', { 'Sec-WebSocket-Key': '' }, 400, 'key'],
    ['a key of 15 bytes', { 'Sec-WebSocket-Key': 'AAAAAAAAAAAAAAAAAAAA' }, 400, 'key'],
    ['a key of 17 bytes', { 'Sec-WebSocket-Key': 'AAAAAAAAAAAAAAAAAAAAAAA=' }, 400, 'key'],
    ['a key that is no base64', { 'Sec-WebSocket-Key': 'dGhlIHNhbXBsZSBub25jZ!==' }, 400, 'key'],
    [
      'two keys',
      { 'Sec-WebSocket-Key': `${UPGRADE['Sec-WebSocket-Key']}, ${UPGRADE['Sec-WebSocket-Key']}` },
      400,
      'key',
    ],
  ])('refuses %s', (_, headers, status, error) => {
    expect(checkWebSocketHeaders(upgradeWith(headers))).toMatchObject({ status, error, message: expect.any(String) });
  });

  test('tells the version that is spoken', () => {
    const refusal = checkWebSocketHeaders(upgradeWith({ 'Sec-WebSocket-Version': '7' }));
    expect(refusal?.headers).toEqual({ 'Sec-WebSocket-Version': '13' });
  });

  test('refuses POST, and tells what is allowed', () => {
    expect(checkWebSocketHeaders(upgradeWith({}, 'POST'))).toMatchObject({ status: 405, headers: { Allow: 'GET' } });
  });
});

const choose = (header: string | undefined) => chooseWireFormat(upgradeWith({ 'Sec-WebSocket-Protocol': header }));

describe('chooseWireFormat', () => {
  test.each([
    [undefined, WireFormat.plain],
    ['push.v1', WireFormat.pushV1],
    ['other, push.v1', WireFormat.pushV1],
    ['push.v1,push.v2', WireFormat.pushV1],
    [' push.v1 , x', WireFormat.pushV1],
  ])('%j', (header, format) => {
    expect(choose(header)).toBe(format);
  });

  test.each([
    '',
    ' ',
    ',',
    'push.v1,',
    'push.v1, push.v1',
    'a b',
    'push.v1;x',
    'Push.V1',
    'push.v2',
    'push.v11',
    'a"b',
    'é',
  ])('%j is refused with 400', (header) => {
    expect(choose(header)).toMatchObject({ status: 400, error: 'subprotocol' });
  });
});

describe('decodeParameters', () => {
  test('decodes each part once', () => {
    const raw = { businessType: '%E7%94%B5', businessId: 'a%253Ab', userName: 'a%2Fb:c%20d+e' };
    expect(decodeParameters(raw)).toEqual({ businessType: '电', businessId: 'a%3Ab', userName: 'a/b:c d+e' });
    expect(decodeParameters({})).toEqual({});
  });

  test.each([
    ['', 'empty'],
    ['%00', 'control'],
    ['%0A', 'control'],
    ['*', '"*"'],
    ['%2A', '"*"'],
    ['..', '".."'],
    ['%2e%2E', '".."'],
    ['.', '"."'],
    ['%', 'percent'],
    ['%E0%A4%A', 'percent'],
    ['%FF', 'percent'],
    ['%C0%80', 'percent'],
    ['%ED%A0%80', 'percent'],
    ['%zz', 'percent'],
    ['a'.repeat(129), '128 bytes'],
    ['%E7%94%B5'.repeat(43), '128 bytes'],
  ])('%j is refused with 400, and its name is told', (part, fault) => {
    const refusal = decodeParameters({ businessType: 'dev', businessId: part, userName: 'u' });
    expect(refusal).toMatchObject({ status: 400, error: 'parameter', message: expect.stringContaining('businessId') });
    expect(refusal['message']).toContain(fault);
  });

  test('what was sent is not sent back', () => {
    const refusal = decodeParameters({ businessId: '%00<script>' });
    expect(JSON.stringify(refusal)).not.toContain('script');
  });
});

test.each([
  [{ status: 400, error: 'x', message: 'y' }, true],
  [{ businessType: 'status', businessId: 'error' }, false],
  [{}, false],
  [0, false],
  [1, false],
])('isRefusal(%j) is %s', (value, isOne) => {
  expect(isRefusal(value)).toBe(isOne);
});
