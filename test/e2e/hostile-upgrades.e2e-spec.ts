import { once } from 'node:events';
import type { Socket } from 'node:net';
import { afterEach, describe, expect, test } from '@jest/globals';
import { Authenticator, type Handshake, type Principal, type PushModuleOptions } from '../../src/index.js';
import { Control } from '../support/control.client.js';
import { until, within } from '../support/deadline.js';
import { gatewayOn, type Platform, PLATFORMS, type TestGateway } from '../support/gateway.fixture.js';
import { PING, rawFrame } from '../support/raw-frames.js';
import {
  openSocket,
  rawGet,
  type RawRequest,
  rawUpgrade,
  readUntil,
  upgradeBytes,
  WEBSOCKET_KEY,
} from '../support/raw-upgrade.js';

const RAW_DATA_PATH = '/ws/rowdata/dev/1/ann';
const APP = 'https://app.example.com';
const PORT = '{port}';

interface Row extends RawRequest {
  status: number;
  /** The word of a refusal; undefined: the answer is Node's own, or an upgrade. */
  error?: string;
  options?: PushModuleOptions;
}

const withOrigin = (origin: string): Row => ({
  headers: { Origin: origin },
  options: { allowedOrigins: [APP] },
  status: 403,
  error: 'origin',
});

const foreignOrigins: [string, Row][] = [
  `${APP}/`,
  `${APP}/ws/alarm`,
  `${APP}:443`,
  `${APP}.`,
  `${APP}.evil.example`,
  `${APP}%00.evil.example`,
  `${APP}\\.evil.example`,
  `${APP}@evil.example`,
  `${APP}, https://evil.example`,
  `${APP} https://evil.example`,
  'https://evil.example, https://app.example.com',
  'https://evil.example#https://app.example.com',
  'https://evil.example/?https://app.example.com',
  'https://user@app.example.com',
  'https://xapp.example.com',
  'https://app-example.com',
  'https://*.example.com',
  'https://APP.example.com',
  'HTTPS://app.example.com',
  'http://app.example.com',
  'wss://app.example.com',
  'app.example.com',
  '//app.example.com',
  '*',
  'null',
  'NULL',
  'undefined',
  '',
  'file://',
  'data:text/html,evil',
  'javascript:alert(1)',
  'chrome-extension://abcdefghijklmnop',
  'https://\xe0pp.example.com',
  '\x9b2Jhttps://app.example.com',
  'x'.repeat(8000),
].map((origin) => [`the Origin ${shown(origin)}`, withOrigin(origin)]);

/** Which a browser's page at the server's own address never has. */
const almostSameOrigins: [string, Row][] = [
  `http://127.0.0.1:${PORT}/`,
  `http://127.0.0.1:${PORT}.evil.example`,
  `http://127.0.0.1:${PORT}0`,
  `http://127.0.0.1:0${PORT}`,
  'http://127.0.0.1',
  `http://127.0.0.1.:${PORT}`,
  `http://127.1:${PORT}`,
  `http://2130706433:${PORT}`,
  `http://0x7f.0.0.1:${PORT}`,
  `http://localhost:${PORT}`,
  `http://[::ffff:127.0.0.1]:${PORT}`,
  `http://user@127.0.0.1:${PORT}`,
  `https://127.0.0.1:${PORT}`,
  `ws://127.0.0.1:${PORT}`,
  `HTTP://127.0.0.1:${PORT}`,
  `127.0.0.1:${PORT}`,
].map((origin) => [`the Origin ${origin}`, { headers: { Origin: origin }, status: 403, error: 'origin' }]);

const foreignHosts: [string, Row][] = [
  'localhost, evil.example',
  'localhost.',
  'localhost.evil.example',
  'evil.localhost',
  'localhost:80:80',
  'localhost:',
  'localhost:123456',
  'localhost:80@evil.example',
  'evil.example@localhost',
  'localhost/x',
  'localhost?x',
  'localhost#x',
  'localhost\\x',
  '127.1',
  '127.0.0.1.',
  '127.0.0.1.nip.io',
  '2130706433',
  '0x7f000001',
  '0.0.0.0',
  '[::1',
  '[::1]x',
  '[::ffff:127.0.0.1]',
  '[::1%25lo]',
  '::1',
  'l\xf6calhost',
  'localhost\x9b',
  '*',
  '.',
].map((host) => [`the Host ${shown(host)}`, { headers: { Host: host }, status: 403, error: 'anonymous' }]);

const foreignPaths: [string, Row][] = [
  '/ws/alarm%2f',
  '/ws/alarm%2F..%2Falarm',
  '/ws%2falarm',
  '/ws/alarm%00',
  '/ws/alarm%20',
  '/ws/alarm.',
  '/ws/alarm/.',
  '/ws/alarm/..',
  '/ws/alarm/../alarm',
  '/ws/%2e/alarm',
  '/ws/.%2e/ws/alarm',
  '/ws;x/alarm',
  '/;/ws/alarm',
  '/ws/;/alarm',
  '/ws/alarm;a=b?minSeverity=1',
  '/ws/alarm&x',
  '/ws/alarm%3Fx',
  '/ws/alarm:80',
  '/ws/alarm*',
  'HTTP://127.0.0.1/ws/alarm',
  'ws://127.0.0.1/ws/alarm',
  'http:///ws/alarm',
  '//127.0.0.1/ws/alarm',
  '/.//ws/alarm',
  String.raw`/\ws/alarm`,
  String.raw`/ws\..\ws/alarm`,
  '/ws/rowdata/../../ws/alarm',
  '/ws/rowdata/%2e%2e/%2e%2e/ws/alarm',
  '/ws/rowdata/dev/1/ann%2F/x',
  '/ws/rowdata//dev/1/ann',
  '/ws/:businessType/1/ann',
  `/${'a/'.repeat(1000)}`,
  `/${'../'.repeat(600)}ws/alarm`,
  '/%ff%fe',
  '/__proto__',
  '/constructor',
].map((path) => [`the path ${shown(path)}`, { path, status: 404, error: 'path' }]);

const badParts: [string, Row][] = [
  '%2e',
  '%2E%2E',
  '.%2e',
  '%00',
  '%0d%0aSet-Cookie:x',
  '%1b%5b31m',
  '%7f',
  '%c2%80',
  '%c2%9b31m',
  '%c2%9f',
  '%e2%80%a8',
  '%e2%80%a9',
  'a%00b',
  '%2a',
  '%',
  '%2',
  '%%',
  '%zz',
  '%u0041',
  '%c0%ae%c0%ae',
  '%c1%81',
  '%e0%80%af',
  '%f8%88%80%80%80',
  '%f4%90%80%80',
  '%ed%b0%80',
  '%ed%a0%bd%ed%b8%80',
  '%80',
  '%fe%ff',
  'a'.repeat(129),
  '%61'.repeat(129),
  '%f0%9f%98%80'.repeat(33),
].map((part) => [`the part ${shown(part)}`, { path: `/ws/rowdata/dev/${part}/ann`, status: 400, error: 'parameter' }]);

const goodParts: [string, Row][] = [
  'a%2fb',
  'a%5cb',
  String.raw`a\b`,
  'a;x=1',
  'a%3a%3Ab',
  '%25',
  '%252e%252e',
  '...',
  '%20',
  '+',
  '**',
  '__proto__',
  'constructor',
  "%27%3B--%20%3Cscript%3E'",
  '%e2%80%8b',
  '%ef%bb%bf',
  '%e2%80%ae',
  '%ef%bc%8e%ef%bc%8e',
  'A%CC%8A',
].map((part) => [`the part ${part}`, { path: `/ws/rowdata/dev/${part}/ann`, status: 101 }]);

const FORWARDED = { 'X-Forwarded-For': '127.0.0.1', 'X-Real-IP': '127.0.0.1', Forwarded: 'for=127.0.0.1;proto=https' };
const forwarding: [string, Row][] = [
  ...['X-Forwarded-For', 'X-Forwarded-Host', 'X-Forwarded-Proto', 'X-Real-IP', 'Forwarded'].flatMap(
    (name): [string, Row][] =>
      ['', '127.0.0.1', 'localhost'].map((value) => [
        `${name}: ${value}`,
        { headers: { [name]: value }, status: 403, error: 'anonymous' },
      ]),
  ),
  [
    'X-Forwarded-Host of an untrusted peer, for a page there',
    {
      headers: { Origin: 'http://evil.example', 'X-Forwarded-Host': 'evil.example' },
      options: { allowAnonymous: true, trustProxy: ['10.0.0.1'] },
      status: 403,
      error: 'origin',
    },
  ],
  [
    'X-Forwarded-Proto of an untrusted peer, for a page of https',
    {
      headers: { Origin: `https://127.0.0.1:${PORT}`, 'X-Forwarded-Proto': 'https' },
      options: { allowAnonymous: true },
      status: 403,
      error: 'origin',
    },
  ],
  [
    'X-Forwarded-For of an untrusted peer at the limit of its address',
    {
      headers: { 'X-Forwarded-For': '10.9.8.7' },
      options: { allowAnonymous: true, maxConnectionsPerIp: Control.COUNT },
      status: 429,
      error: 'addressLimit',
    },
  ],
  [
    'all forwarding headers, where a proxy elsewhere is trusted',
    {
      headers: FORWARDED,
      options: { trustProxy: ['10.0.0.0/8', '::1'] },
      status: 403,
      error: 'anonymous',
    },
  ],
  [
    'X-Forwarded-For through a trusted proxy: the address that counts is the one that it names',
    {
      headers: { 'X-Forwarded-For': 'evil\\"\x9b, 127.0.0.1, ::1' },
      options: { allowAnonymous: true, trustProxy: ['loopback'], maxConnectionsPerIp: Control.COUNT },
      status: 101,
    },
  ],
];

const headerRows: [string, Row][] = [
  ['a header of 17 KB', { headers: { Cookie: 'x'.repeat(17 * 1024) }, status: 431 }],
  ['headers of 17 KB in all', { lines: lines(90, `: ${'x'.repeat(190)}`), status: 431 }],
  ['a header of 12 KB', { headers: { Cookie: 'x'.repeat(12 * 1024) }, status: 101 }],
  ['101 header lines', { lines: lines(101, ':'), status: 431, error: 'headers' }],
  ['101 lines of one name', { lines: Array<string>(101).fill('Host: evil.example'), status: 431, error: 'headers' }],
  ['95 empty headers', { lines: lines(95, ':'), status: 101 }],
  [
    'headers named as what every object has',
    {
      lines: ['__proto__: x', '__proto__: y', 'constructor: x', 'hasOwnProperty: x', 'toString: x', 'length: 0'],
      status: 101,
    },
  ],
  ['a header without a name', { lines: [': x'], status: 400 }],
  ['a space before the colon', { lines: ['X-A : x'], status: 400 }],
  ['a folded header', { lines: ['X-A: x', ' y'], status: 400 }],
  ['a NUL in a header', { lines: ['X-A: x\0y'], status: 400 }],
  ['an escape in a header', { lines: ['X-A: \x1b[31m'], status: 400 }],
  ['a line feed alone', { lines: ['X-A: x\nX-B: y'], status: 400 }],
  ['a carriage return alone', { lines: ['X-A: x\rX-B: y'], status: 400 }],
  ['a body that is announced', { headers: { 'Content-Length': '5' }, status: 101 }],
  ['two lengths', { lines: ['Content-Length: 5', 'Content-Length: 6'], status: 400 }],
  ['a length and chunks', { lines: ['Content-Length: 5', 'Transfer-Encoding: chunked'], status: 400 }],
  ['a length below 0', { lines: ['Content-Length: -1'], status: 400 }],
  ['Expect', { headers: { Expect: '100-continue' }, status: 101 }],
  ['two keys', { lines: [`Sec-WebSocket-Key: ${WEBSOCKET_KEY}`], status: 400, error: 'key' }],
  [
    'a key with a line of base64 more',
    { headers: { 'Sec-WebSocket-Key': `${WEBSOCKET_KEY}AAAA` }, status: 400, error: 'key' },
  ],
  ['two versions', { lines: ['Sec-WebSocket-Version: 8'], status: 426, error: 'version' }],
  ['version 013', { headers: { 'Sec-WebSocket-Version': '013' }, status: 426, error: 'version' }],
  ['Upgrade twice', { lines: ['Upgrade: websocket'], status: 400, error: 'upgrade' }],
  ['Upgrade: websocket/13', { headers: { Upgrade: 'websocket/13' }, status: 400, error: 'upgrade' }],
  ['Upgrade in Turkish', { headers: { Upgrade: 'webs\xf6cket' }, status: 400, error: 'upgrade' }],
  ['HEAD', { method: 'HEAD', status: 405, error: 'method' }],
  ['OPTIONS', { method: 'OPTIONS', status: 405, error: 'method' }],
  ['TRACE', { method: 'TRACE', status: 405, error: 'method' }],
  ['PATCH', { method: 'PATCH', status: 405, error: 'method' }],
  ['a method that is none', { method: 'EVIL', status: 400 }],
  ['a letter of Cyrillic in the path', { path: '/ws/\xd0\xb0larm', status: 400 }],
  ['a Latin-1 letter in the path', { path: '/ws/rowdata/dev/\xe9/ann', status: 400 }],
  ['get', { method: 'get', status: 400 }],
  ...['push.v1\xa0', 'push.v1\xa0, x', ',', 'push.v1,,x', 'push.v1, push.v1', `${','.repeat(5000)}`].map(
    (header): [string, Row] => [
      `Sec-WebSocket-Protocol: ${shown(header)}`,
      { headers: { 'Sec-WebSocket-Protocol': header }, status: 400, error: 'subprotocol' },
    ],
  ),
  [
    '1,000 subprotocols',
    {
      headers: { 'Sec-WebSocket-Protocol': `${Array.from({ length: 1000 }, (_, n) => `p${n}`).join()},push.v1` },
      status: 101,
    },
  ],
  ...[
    'permessage-deflate; client_max_window_bits=99',
    'permessage-deflate; what',
    'permessage-deflate; server_no_context_takeover=1',
    'permessage-deflate; client_max_window_bits=15; client_max_window_bits=15',
    'permessage-deflate; client_max_window_bits="15',
    'permessage-deflate;;',
    ';',
    '=',
    'a b',
    '\xe9',
  ].map((header): [string, Row] => [
    `Sec-WebSocket-Extensions: ${shown(header)}`,
    {
      headers: { 'Sec-WebSocket-Extensions': header },
      options: { compression: {} },
      status: 400,
      error: 'extensions',
    },
  ]),
  ['malformed extensions where there are none', { headers: { 'Sec-WebSocket-Extensions': ';=,"' }, status: 101 }],
  ...['"\\9"', '+9', '.9e1', '"9"', '9', '8', '09'].map((bits): [string, Row] => [
    `a window of ${bits}, which is offered, is left out`,
    {
      headers: { 'Sec-WebSocket-Extensions': `permessage-deflate; server_max_window_bits=${bits}` },
      options: { compression: {} },
      status: 101,
    },
  ]),
];

const queryRows: [string, Row][] = [
  '?minSeverity=1&minSeverity=1',
  '?minSeverity=1e2',
  '?minSeverity=0x10',
  '?minSeverity=%2B1',
  '?minSeverity=-1',
  '?minSeverity=00001',
  '?minSeverity=1%00',
  '?minSeverity=%EF%BC%91',
  '?replay=0',
  '?replay=1001',
  '?replay=ALL',
  '?replay=all&replay=all',
  '?replay=-1',
  '?lastEventId=a.1',
  '?durable=x',
  '?businessId=%00',
  '?businessId=..',
  '?businessType=%c2%9b',
  `?businessId=${'a'.repeat(129)}`,
].map((query) => [`the query ${shown(query)}`, { path: `/ws/alarm${query}`, status: 400, error: 'parameter' }]);
queryRows.push(
  ...[
    '?maxFrequencyHz=0',
    '?maxFrequencyHz=-1',
    '?maxFrequencyHz=1001',
    '?maxFrequencyHz=1e3',
    '?maxFrequencyHz=Infinity',
    '?maxFrequencyHz=NaN',
    '?maxFrequencyHz=',
    '?maxFrequencyHz=1.',
    `?maxFrequencyHz=${'1'.repeat(1900)}x`,
    '?snapshot=yes',
    '?snapshot=TRUE',
    '?snapshot',
    '?history=-1',
    '?history=1.5',
    '?history=9999999999',
    '?history=%D9%A1',
  ].map((query): [string, Row] => [
    `the query ${shown(query)}`,
    { path: `${RAW_DATA_PATH}${query}`, status: 400, error: 'parameter' },
  ]),
);

function lines(count: number, rest: string): string[] {
  return Array.from({ length: count }, (_, n) => `X-${n}${rest}`);
}

function shown(text: string): string {
  const escaped = JSON.stringify(text).slice(1, -1);
  return escaped.length > 60 ? `${escaped.slice(0, 40)}… (${text.length})` : escaped;
}

const sockets = new Set<Socket>();

afterEach(() => {
  for (const socket of sockets) socket.destroy();
  sockets.clear();
});

async function open(port: number): Promise<Socket> {
  const socket = await openSocket(port);
  sockets.add(socket);
  return socket;
}

/** Sends text as it is, and reads until the server ends. */
async function answerTo(port: number, text: string): Promise<string> {
  const socket = await open(port);
  socket.write(Buffer.from(text, 'latin1'));
  return (await readUntil(socket, () => false)).toString('latin1');
}

function onPort({ path = '/ws/alarm', method, lines: more, headers = {} }: Row, port: number): RawRequest {
  const filledIn = Object.entries(headers).map(([name, value]) => [name, value?.replaceAll(PORT, String(port))]);
  return {
    path,
    ...(method === undefined ? {} : { method }),
    ...(more === undefined ? {} : { lines: more }),
    headers: Object.fromEntries(filledIn) as Record<string, string | undefined>,
  };
}

async function expectNobodyElse(gateway: TestGateway): Promise<void> {
  await until(() => gateway.placesTaken === Control.COUNT, 'no place is taken but the control clients’');
  await until(() => gateway.rawData.count() + gateway.alarms.count() === Control.COUNT, 'nobody else is known');
}

function ignore(): void {}

const ROWS: [string, [string, Row][]][] = [
  ['origins that are not allowed', foreignOrigins],
  ['origins that look like the own one', almostSameOrigins],
  ['hosts that are not this machine', foreignHosts],
  ['paths that are not ours', foreignPaths],
  ['parts that break the rule', badParts],
  ['parts that only look dangerous', goodParts],
  ['forwarding headers', forwarding],
  ['headers', headerRows],
  ['queries', queryRows],
];

/** By platform and options, for all rows that want the same. */
const places = new Map<string, Promise<{ gateway: TestGateway; control: Control }>>();

async function startPlace(platform: Platform, options: PushModuleOptions) {
  const gateway = await gatewayOn(platform).withOptions(options).startForAll();
  return { gateway, control: await Control.on(gateway) };
}

function placeOf(platform: Platform, options: PushModuleOptions) {
  const id = JSON.stringify([platform, options]);
  const place = places.get(id) ?? startPlace(platform, options);
  places.set(id, place);
  return place;
}

describe.each(PLATFORMS)('hostile upgrades on %s', (platform) => {
  describe.each(ROWS)('%s', (_group, rows) => {
    test.each(rows)('%s', async (_what, row) => {
      const { status, error, options = {} } = row;
      const { gateway, control } = await placeOf(platform, options);
      const answer = await rawUpgrade(gateway.port, onPort(row, gateway.port));
      const refusal = { statusCode: status, error, message: expect.any(String) };
      const isClosed = { headers: { connection: 'close' } };
      expect(answer).toMatchObject(error === undefined ? { status } : { status, json: refusal, ...isClosed });
      // Printable, and without anything that was sent.
      const body = status === 101 ? '' : answer.body;
      expect(body).toMatch(/^[\x20-\x7e]*$/);
      expect(body).not.toMatch(/evil|xxxx|aaaa|script/);
      expect(answer.headers).not.toHaveProperty('sec-websocket-extensions');
      expect(answer.headers).not.toHaveProperty('set-cookie');
      expect(await control.losses()).toEqual([]);
      await expectNobodyElse(gateway);
    });
  });

  test('every hostile row on one gateway, one behind the other, as upgrade and as plain GET', async () => {
    const gateway = await gatewayOn(platform).withOptions({ maxUpgradesPerSecond: 100_000 }).start();
    const control = await Control.on(gateway);
    for (const [, row] of ROWS.flatMap(([, rows]) => rows)) {
      const request = onPort(row, gateway.port);
      const answers = [await rawUpgrade(gateway.port, request)];
      const isPlain = request.method === undefined && request.lines === undefined && row.status !== 101;
      if (isPlain) answers.push(await rawGet(gateway.port, request));
      // What passes by its own options may be refused here; it only must not do anything else.
      expect(answers.map((each) => each.status < 500)).not.toContain(false);
      await control.beat();
    }
    expect(await control.losses()).toEqual([]);
    await expectNobodyElse(gateway);
  });

  describe('what is hardly HTTP', () => {
    const head = (version = '1.1', more = '') =>
      `GET ${RAW_DATA_PATH} HTTP/${version}\r\nHost: 127.0.0.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n` +
      `Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: ${WEBSOCKET_KEY}\r\n${more}\r\n`;

    test.each<[string, string, RegExp]>([
      ['CONNECT', `CONNECT 127.0.0.1:80 HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n`, /^(HTTP\/1\.1 400 |$)/],
      ['the preface of HTTP/2', 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', /^HTTP\/1\.1 400 /],
      ['HTTP/0.9', `GET ${RAW_DATA_PATH}\r\n\r\n`, /^HTTP\/1\.1 400 /],
      ['HTTP/9.9', head('9.9'), /^HTTP\/1\.1 400 /],
      ['a hello of TLS', '\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03', /^HTTP\/1\.1 400 /],
      ['zeros', '\0'.repeat(1000), /^HTTP\/1\.1 400 /],
      ['line ends', `${'\r\n'.repeat(1000)}x\r\n\r\n`, /^HTTP\/1\.1 400 /],
      ['a request line of 20 KB', `GET /${'a'.repeat(20_000)} HTTP/1.1\r\n\r\n`, /^HTTP\/1\.1 431 /],
      ['a WebSocket frame', rawFrame({ opcode: PING }).toString('latin1'), /^HTTP\/1\.1 400 /],
    ])('%s is ended', async (_what, text, expected) => {
      const gateway = await gatewayOn(platform).start();
      const control = await Control.on(gateway);
      expect(await answerTo(gateway.port, text)).toMatch(expected);
      expect(await control.losses()).toEqual([]);
      await expectNobodyElse(gateway);
    });

    test.each([
      ['a second upgrade behind the first is no frame: 1002', head() + head()],
      ['an unmasked frame in the same packet: 1002', `${head()}\x81\x01a`],
    ])('%s', async (_what, text) => {
      const gateway = await gatewayOn(platform).withOptions({ drainDeadlineMs: 500 }).start();
      const control = await Control.on(gateway);
      const answer = await answerTo(gateway.port, text);
      expect(answer).toMatch(/^HTTP\/1\.1 101 /);
      expect(answer.slice(answer.indexOf('\r\n\r\n') + 4)).toBe('\x88\x02\x03\xea');
      expect(await control.losses()).toEqual([]);
      await expectNobodyElse(gateway);
    });

    test('an upgrade behind a GET that is not answered yet', async () => {
      const gateway = await gatewayOn(platform).start();
      const control = await Control.on(gateway);
      const socket = await open(gateway.port);
      const get = 'GET /ws/alarm HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n';
      socket.write((get + head()).repeat(5));
      socket.end();
      await within(
        readUntil(socket, () => false),
        'the connection ends',
      );
      expect(await control.losses()).toEqual([]);
      await expectNobodyElse(gateway);
    });
  });

  test('1,000 upgrades at once that never end are ended, and others notice nothing', async () => {
    const gateway = await gatewayOn(platform)
      .withOptions({ headersTimeoutMs: 1000, maxUpgradesPerSecond: 10_000 })
      .start();
    const control = await Control.on(gateway);
    const bytes = upgradeBytes(gateway.port, { path: RAW_DATA_PATH });
    const dripping: { socket: Socket; at: number }[] = [];
    const ended: Promise<unknown>[] = [];
    for (let n = 0; n < 1000; n++) {
      const socket = await open(gateway.port);
      socket.resume();
      ended.push(once(socket, 'close'));
      if (n % 3 === 1) socket.write(bytes.subarray(0, bytes.length - 2));
      if (n % 3 === 2) dripping.push({ socket, at: 0 });
    }
    const drip = setInterval(() => {
      for (const each of dripping) {
        if (each.socket.writable) each.socket.write(bytes.subarray(each.at, (each.at += 1)));
      }
    }, 50);
    const beat = setInterval(() => void control.beat(), 10);
    try {
      await within(Promise.all(ended), 'the slow ones are ended', 12_000);
    } finally {
      clearInterval(drip);
      clearInterval(beat);
    }
    expect(await control.losses()).toEqual([]);
    await expectNobodyElse(gateway);
  });
});

test('10,000 resets while authentication is pending: others lose nothing, and no place is kept', async () => {
  let answer: (principal: Principal) => void = ignore;
  let pending = new Promise<Principal>((resolve) => (answer = resolve));
  let asked = 0;
  class Slow extends Authenticator {
    authenticate({ query, gateway }: Handshake): Principal | Promise<Principal> {
      if (!query.has('slow')) return {};
      asked += gateway === 'rawData' ? 1 : 0;
      return pending;
    }
  }
  const gateway = await gatewayOn('express')
    .withOptions({ authenticator: new Slow(), maxUpgradesPerSecond: 1_000_000, maxConnectionsPerIp: 10_000 })
    .start();
  const control = await Control.on(gateway);
  const paths = [`${RAW_DATA_PATH}?slow`, '/ws/alarm?slow&replay=all'];
  for (let round = 0; round < 50; round++) {
    const wave = await Promise.all(Array.from({ length: 200 }, () => open(gateway.port)));
    const closed = wave.map((socket) => once(socket, 'close'));
    const askedBefore = asked;
    wave.forEach((socket, n) => socket.write(upgradeBytes(gateway.port, { path: paths[n % 2] ?? '' })));
    await until(() => asked - askedBefore >= 50, 'the authenticator is asked');
    for (const socket of wave) socket.resetAndDestroy();
    await within(Promise.all(closed), 'the sockets are gone');
    sockets.clear();
    // Every second wave is answered after its clients are gone, the others at the end.
    if (round % 2 === 0) {
      answer({});
      pending = new Promise<Principal>((resolve) => (answer = resolve));
    }
    await control.beat();
  }
  answer({});
  expect(asked).toBeGreaterThan(2500);
  await expectNobodyElse(gateway);
  expect(await control.losses()).toEqual([]);
}, 60_000);
