import { describe, expect, test } from '@jest/globals';
import type { LoggerService } from '@nestjs/common';
import type { PushModuleOptions } from '../../src/index.js';
import { Control } from '../support/control.client.js';
import { until, within } from '../support/deadline.js';
import { gatewayOn, PLATFORMS, type TestGateway } from '../support/gateway.fixture.js';
import type { PushClient } from '../support/push.client.js';
import { CLOSE, closePayload, rawFrame } from '../support/raw-frames.js';
import { rawUpgrade } from '../support/raw-upgrade.js';
import { RawWebSocket } from '../support/raw-websocket.js';

const RAW_DATA_PATH = '/ws/rowdata/dev/1/evil';
const ALARM_PATH = '/ws/alarm?businessType=dev';
const DEEP = 10_000;

const message = (event: unknown, data: unknown = {}, more: object = {}) => JSON.stringify({ event, data, ...more });
const subscribing = (...keys: unknown[]) => message('subscribe', { keys });
const nested = (open: string, close: string) => open.repeat(DEEP) + close.repeat(DEEP);

/** What is no message. */
const malformed: [string, string | Buffer][] = [
  ['nothing', ''],
  ['spaces', '   '],
  ['a word', 'evil'],
  ['null', 'null'],
  ['true', 'true'],
  ['a number', '1'],
  ['a string', '"subscribe"'],
  ['an array', '[{"event":"subscribe"}]'],
  ['an empty object', '{}'],
  ['a comma too many', '{"event":"mark",}'],
  ['a comment', '{"event":"mark"/**/}'],
  ['single quotes', "{'event':'mark'}"],
  ['NaN', '{"event":"mark","data":{"n":NaN}}'],
  ['two objects', '{"event":"mark"}{"event":"mark"}'],
  ['a byte order mark', `\ufeff${message('mark', { n: 1 })}`],
  ['a NUL', `${message('mark', { n: 1 })}\0`],
  ['a string that never ends', '{"event":"mark'],
  ['a line feed in a string', '{"event":"ma\nrk"}'],
  ['10,000 arrays', nested('[', ']')],
  ['10,000 objects', nested('{"event":', '}')],
  ['10,000 arrays that never end', '['.repeat(2 * DEEP)],
  ['10,000 objects as the event', `{"event":${nested('{"a":', '}').replace('}', '1}')}}`],
  ['10,000 arrays as the keys', `{"event":"subscribe","data":{"keys":[${nested('[', ']')}]}}`],
  ['10,000 arrays as the ref', `{"event":"x","ref":${nested('[', ']')}}`],
  ['an inherited event', '{"__proto__":{"event":"subscribe","data":{"keys":[]}}}'],
  ['inherited data', '{"event":"subscribe","data":{"__proto__":{"keys":[]}}}'],
  ['an inherited key', subscribingRaw('{"__proto__":{"businessType":"a","businessId":"1"}}')],
  ['an object as the event', message({ toString: 'subscribe' })],
  ['an array as the event', message(['subscribe'])],
  ['a number as the event', message(1)],
  ['null as the event', message(null)],
  ['an empty event', message('')],
  ['an event of 65 characters', message('e'.repeat(65))],
  ['an object as the ref', message('x', {}, { ref: {} })],
  ['null as the ref', message('x', {}, { ref: null })],
  ['a ref of 65 characters', message('x', {}, { ref: 'r'.repeat(65) })],
  ['a ref beyond all numbers', '{"event":"x","ref":1e999}'],
  ['data as text', message('subscribe', 'keys')],
  ['data as an array', message('subscribe', [])],
  ['null as data', message('subscribe', null)],
  ['keys that are none', message('subscribe', {})],
  ['keys as an object', message('subscribe', { keys: { length: 1, 0: { businessType: 'a', businessId: '1' } } })],
  [
    '1,001 keys',
    message('unsubscribe', {
      keys: Array.from({ length: 1001 }, (_, n) => ({ businessType: 'a', businessId: `${n}` })),
    }),
  ],
  ['a key that is null', subscribing(null)],
  ['a key that is a string', subscribing('dev/1')],
  ['a key that is an array', subscribing(['dev', '1'])],
  ['a number as the id', subscribing({ businessType: 'dev', businessId: 1 })],
  ['an array as the id', subscribing({ businessType: 'dev', businessId: ['1'] })],
  ['no id', subscribing({ businessType: 'dev' })],
  ['a wildcard as the type', subscribing({ businessType: '*', businessId: '1' })],
  [
    'a good key and a bad one',
    subscribing({ businessType: 'a', businessId: '1' }, { businessType: '', businessId: '1' }),
  ],
  ...[
    ['0', 0],
    ['below 0', -1],
    ['1,001', 1001],
    ['a string', '1'],
    ['null', null],
    ['an array', [1]],
  ].map(([what, maxFrequencyHz]): [string, string] => [
    `a frequency: ${String(what)}`,
    subscribing({ businessType: 'a', businessId: '1', maxFrequencyHz }),
  ]),
  ['a snapshot that is 1', subscribing({ businessType: 'a', businessId: '1', snapshot: 1 })],
  ['a history below 0', subscribing({ businessType: 'a', businessId: '1', history: -1 })],
  ['half a history', subscribing({ businessType: 'a', businessId: '1', history: 0.5 })],
  ['a history beyond all', subscribing({ businessType: 'a', businessId: '1', history: 2 ** 53 })],
  ['a mark without a number', message('mark')],
  ['a mark that is a string', message('mark', { n: '1' })],
  ['half a mark', message('mark', { n: 0.5 })],
  ['a mark beyond all numbers', '{"event":"mark","data":{"n":1e400}}'],
  ['a token that is none', message('auth', {})],
  ['an empty token', message('auth', { token: '' })],
  ['a token that is an object', message('auth', { token: {} })],
  ['an ack that is no cursor', message('ack', { id: '../1' })],
  ['an ack of an offset beyond all', message('ack', { id: 'a.9007199254740993' })],
  ['a binary message', Buffer.from(message('mark', { n: 1 }))],
  ['an empty binary message', Buffer.alloc(0)],
];

/** Well formed, and nobody's. */
const unknown: [string, string][] = [
  '__proto__',
  'constructor',
  'toString',
  'hasOwnProperty',
  'other',
  'close',
  'error',
  'message',
  'Subscribe',
  ' subscribe',
  'subscribe\0',
  'subscribed',
  'ready',
  'exception',
  '\u001b[31m',
  '\ud800',
  'e'.repeat(64),
].map((event) => [JSON.stringify(event), message(event, { keys: [] })]);

function subscribingRaw(key: string): string {
  return `{"event":"subscribe","data":{"keys":[${key}]}}`;
}

async function startGateway(options: PushModuleOptions = {}): Promise<{ gateway: TestGateway; control: Control }> {
  const gateway = await gatewayOn('express')
    .withOptions({ drainDeadlineMs: 500, ...options })
    .start();
  return { gateway, control: await Control.on(gateway) };
}

async function expectNobodyElse(gateway: TestGateway): Promise<void> {
  await until(() => gateway.placesTaken === Control.COUNT, 'no place is taken but the control clients’');
  await until(() => gateway.rawData.count() + gateway.alarms.count() === Control.COUNT, 'nobody else is known');
}

describe.each([RAW_DATA_PATH, ALARM_PATH])('hostile messages on %s', (path) => {
  const rows = [
    ...malformed.map(([what, text]) => [what, text, 'badMessage'] as const),
    ...unknown.map(([what, text]) => [`the event ${what}`, text, 'unknownEvent'] as const),
  ];

  test.each(rows)('%s is answered, and has no effect', async (_what, text, code) => {
    const { gateway, control } = await startGateway({ maxMessageBytes: 256 * 1024 });
    const client = await gateway.connectPushV1(path);
    client.send(text);
    const { data } = await client.nextEvent('exception');
    // On alarms no key is looked at, so whatever has the shape of a subscription is nobody's event there.
    expect([code, path === ALARM_PATH ? 'unknownEvent' : code]).toContain(data['code']);
    expect(data['message']).toMatch(/^[\x20-\x7e]{1,100}$/);
    const own = path === RAW_DATA_PATH ? [{ businessType: 'dev', businessId: '1' }] : [];
    expect(gateway.rawData.subscriptions(client.clientId)).toEqual(own);
    expect(Object.keys(Object.prototype)).toEqual([]);
    expect(await control.losses()).toEqual([]);
    await client.close();
    await expectNobodyElse(gateway);
  });

  test('on the plain wire all of them are dropped, or told as they are', async () => {
    const { gateway, control } = await startGateway({ maxMessageBytes: 256 * 1024, maxMessagesPerSecond: 1000 });
    const registry = path === RAW_DATA_PATH ? gateway.rawData : gateway.alarms;
    const client = await gateway.connect(path);
    for (const [, text] of rows) client.send(text);
    const told: unknown[] = [];
    await until(() => client.socket.bufferedAmount === 0, 'all are sent');
    client.socket.ping();
    await within(new Promise((resolve) => client.socket.once('pong', resolve)), 'all are read');
    registry.messages$.subscribe(({ data }) => told.push(data));
    for (const [, text] of rows) client.send(text);
    await until(() => told.length === rows.length, 'all are told');
    expect(told).toEqual(rows.map(([, text]) => text));
    expect(await control.losses()).toEqual([]);
  });

  test.each([
    ['of what is no JSON', 'x'.repeat(10_000)],
    ['of unknown events', message('evil')],
    ['of marks that nobody is owed', message('mark', { n: 12_345 })],
    ['of subscriptions', subscribing({ businessType: 'dev', businessId: '*', snapshot: true, history: 1000 })],
    ['of tokens', message('auth', { token: 'x'.repeat(1000) })],
    ['of acknowledgements', message('ack', { id: 'a.1' })],
    ['of binary messages', Buffer.alloc(1000)],
  ])('a flood %s: 4429', async (_what, text) => {
    const { gateway, control } = await startGateway();
    for (const format of ['plain', 'push.v1']) {
      const client = await (format === 'plain' ? gateway.connect(path) : gateway.connectPushV1(path));
      for (let n = 0; n < 2000; n++) client.send(text);
      await control.beat();
      expect(await within(client.closed, 'it is closed')).toEqual({ code: 4429, reason: 'too many messages' });
    }
    expect(await control.losses()).toEqual([]);
    await expectNobodyElse(gateway);
  });
});

test('a flood of subscriptions takes as many keys as a client may have, and no more', async () => {
  const { gateway, control } = await startGateway({ maxSubscriptionsPerClient: 20 });
  const client = await gateway.connectPushV1(RAW_DATA_PATH);
  for (let n = 0; n < 100; n++) {
    const keys = Array.from({ length: 200 }, (_, i) => ({ businessType: 'more', businessId: `${n}-${i}` }));
    const { data } = await client.ask('subscribe', { keys });
    const { refused } = data as { refused: { reason: string }[] };
    expect(refused).toHaveLength(n === 0 ? 181 : 200);
    expect(new Set(refused.map(({ reason }) => reason))).toEqual(new Set(['limit']));
  }
  expect(gateway.rawData.subscriptions(client.clientId)).toHaveLength(20);
  expect(await control.losses()).toEqual([]);
});

/** Ids that a page, a log or a key could take for something else. All keep to the rule for parts. */
const HOSTILE_IDS = [
  'a:b',
  'a%3Ab',
  '%',
  '%%',
  '%2e%2e',
  '%00',
  'a/b',
  'a/../b',
  '../../etc/passwd',
  String.raw`a\b`,
  '...',
  '**',
  'a*',
  '?',
  '#',
  '&businessId=1',
  ';',
  ' ',
  ' 1',
  '1 ',
  '1',
  '\uff11',
  '\u0661',
  '1\u200b',
  '1\u200d',
  '\u202e1',
  '\u20661\u2069',
  '\ufeff1',
  '\u00ad1',
  '\u00e5',
  'a\u030a',
  '\u212b',
  'A\u030a',
  'z\u0300\u0301\u0302\u0303\u0304\u0305\u0306\u0307',
  '\ufdfa',
  '\u0430',
  'a',
  '\u{1f468}\u200d\u{1f469}\u200d\u{1f467}',
  '\u{e0001}\u{e0061}',
  '\u{10ffff}',
  '\uffff',
  '\\u000a',
  String.raw`\n`,
  '"}]}',
  "' OR 1=1 --",
  '<script>alert(1)</script>',
  '${1+1}',
  '{{1}}',
  '__proto__',
  'constructor',
  'null',
  'websocket:rowdata:dev:1',
  'x'.repeat(128),
];

/** Ids that break the rule. */
const FORBIDDEN_IDS = [
  '',
  '.',
  '..',
  '\0',
  '1\0',
  '1\n',
  '\r\n',
  '1\r\n[Nest] 1 - LOG forged',
  '\u001b[31m',
  '\u001b]0;title\u0007',
  '\u0008',
  '\u007f',
  '\u0085',
  '\u009b31m',
  '\u009d0;title\u009c',
  '\u2028',
  '\u2029',
  'x'.repeat(129),
  '\u00e9'.repeat(65),
  '\u{1f600}'.repeat(33),
];

/** Whatever is written to the log, line by line. */
class LogLines implements LoggerService {
  readonly lines: string[] = [];
  readonly log = (...parts: unknown[]) => this.add(parts);
  readonly error = this.log;
  readonly warn = this.log;
  readonly debug = this.log;
  readonly verbose = this.log;
  readonly fatal = this.log;

  /** Those in which something ends a line, moves a cursor, or shows text in another order. */
  get broken(): string[] {
    return this.lines.filter((line) => /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}]/u.test(line));
  }

  ofAudit(event: string): Record<string, unknown>[] {
    return this.lines
      .filter((line) => line.startsWith(`{"event":"${event}"`))
      .map((line) => JSON.parse(line) as Record<string, unknown>);
  }

  private add([text]: unknown[]): void {
    this.lines.push(String(text));
  }
}

function pushToEach(gateway: TestGateway, businessType = 'dev'): void {
  for (const businessId of HOSTILE_IDS) {
    expect(gateway.push.pushRawData({ businessType, businessId }).matched).toBe(1);
  }
}

const byId = (clients: readonly PushClient[]) => Object.fromEntries(clients.map((client, n) => [String(n), client]));

describe.each(PLATFORMS)('hostile ids on %s', (platform) => {
  async function startLogging(): Promise<{ gateway: TestGateway; control: Control; log: LogLines }> {
    const log = new LogLines();
    const gateway = await gatewayOn(platform)
      .prepared((app) => app.useLogger(log))
      .start();
    return { gateway, control: await Control.on(gateway), log };
  }

  test('in the path: each hears its own and nothing else, and no line of the log breaks', async () => {
    const { gateway, control, log } = await startLogging();
    const clients = await Promise.all(
      HOSTILE_IDS.map((id) => gateway.connect(`/ws/rowdata/dev/${encodeURIComponent(id)}/${encodeURIComponent(id)}`)),
    );
    pushToEach(gateway);
    const heard = await gateway.heardBy(byId(clients));
    HOSTILE_IDS.forEach((businessId, n) => {
      expect(heard[String(n)]).toEqual([JSON.stringify({ businessType: 'dev', businessId })]);
    });
    const infos = gateway.rawData.clients().filter(({ userName }) => userName !== 'control');
    expect(infos.map(({ userName }) => userName).toSorted()).toEqual(HOSTILE_IDS.toSorted());
    for (const { key, userName, clientId } of infos) {
      expect(key.split(':').map(decodeURIComponent)).toEqual([
        'websocket',
        'rowdata',
        'dev',
        userName,
        userName,
        clientId,
      ]);
    }
    expect(await control.losses()).toEqual([]);
    expect(log.ofAudit('connect').map(({ userName }) => userName)).toEqual(expect.arrayContaining(HOSTILE_IDS));
    expect(log.broken).toEqual([]);
  });

  test('in a subscription: each hears its own and nothing else', async () => {
    const { gateway, control, log } = await startLogging();
    const clients = await Promise.all(HOSTILE_IDS.map((_, n) => gateway.connectPushV1(`/ws/rowdata/own/${n}/u`)));
    for (const [n, client] of clients.entries()) {
      const keys = [{ businessType: 'dev', businessId: HOSTILE_IDS[n] }];
      expect(await client.ask('subscribe', { keys })).toEqual({ event: 'subscribed', data: { keys, refused: [] } });
    }
    pushToEach(gateway);
    const heard = await gateway.heardBy(byId(clients));
    HOSTILE_IDS.forEach((businessId, n) => {
      expect(heard[String(n)]).toEqual([
        `{"event":"rawData","data":${JSON.stringify({ businessType: 'dev', businessId })}}`,
      ]);
    });
    expect(await control.losses()).toEqual([]);
    expect(log.broken).toEqual([]);
  });

  test('in the filter of alarms: each hears its own and nothing else', async () => {
    const { gateway, control, log } = await startLogging();
    const clients = await Promise.all(
      HOSTILE_IDS.map((id) => gateway.connect(`/ws/alarm?businessId=${encodeURIComponent(id)}&businessType=dev`)),
    );
    for (const businessId of HOSTILE_IDS) await gateway.push.pushAlarm({ businessType: 'dev', businessId });
    const heard = await gateway.alarmsHeardBy(byId(clients));
    HOSTILE_IDS.forEach((businessId, n) => {
      expect(heard[String(n)]).toEqual([JSON.stringify({ businessType: 'dev', businessId })]);
    });
    expect(await control.losses()).toEqual([]);
    expect(log.broken).toEqual([]);
  });

  test('that break the rule are refused everywhere, and no line of the log breaks', async () => {
    const { gateway, control, log } = await startLogging();
    const client = await gateway.connectPushV1('/ws/rowdata/own/1/u');
    for (const id of FORBIDDEN_IDS) {
      const part = encodeURIComponent(id);
      const paths = [
        `/ws/rowdata/${part}/1/u`,
        `/ws/rowdata/dev/${part}/u`,
        `/ws/rowdata/dev/1/${part}`,
        `/ws/alarm?businessId=${part}`,
        `/ws/alarm?businessType=dev&businessType=${part}`,
      ];
      for (const path of paths) {
        expect(await rawUpgrade(gateway.port, { path })).toMatchObject({ status: 400, json: { error: 'parameter' } });
      }
      const keys = [
        { businessType: 'dev', businessId: 'good' },
        { businessType: 'dev', businessId: id },
      ];
      for (const event of ['subscribe', 'unsubscribe']) {
        expect(await client.ask(event, { keys })).toMatchObject({ event: 'exception', data: { code: 'badMessage' } });
      }
    }
    // An empty one counts as none when it is pushed.
    for (const businessId of FORBIDDEN_IDS.filter((id) => id !== '')) {
      expect(() => gateway.push.pushRawData({ businessType: 'dev', businessId })).toThrow('businessId');
    }
    expect(gateway.rawData.subscriptions(client.clientId)).toEqual([{ businessType: 'own', businessId: '1' }]);
    expect(log.ofAudit('refuse').length).toBeGreaterThanOrEqual(5 * FORBIDDEN_IDS.length);
    expect(await control.losses()).toEqual([]);
    expect(log.broken).toEqual([]);
  });

  test('what else clients say does not break a line either: origins, reasons of a close', async () => {
    const { gateway, control, log } = await startLogging();
    const origins = ['\x9b2J', '\x85forged', 'http://\xad.example', `http://${'\x9b'.repeat(5000)}`, '"},{"event":"x'];
    for (const origin of origins) {
      expect((await rawUpgrade(gateway.port, { path: '/ws/alarm', headers: { Origin: origin } })).status).toBe(403);
    }
    const reasons = [
      '\n{"event":"forged"}',
      '\u001b[2J',
      '\u009b2J',
      '\u0085',
      '\u2028',
      '\u202eevil',
      '\u200f',
      '\0',
      '"}',
    ];
    for (const reason of reasons) {
      const client = await RawWebSocket.connect(gateway.port, { path: RAW_DATA_PATH });
      client.write(rawFrame({ opcode: CLOSE, payload: closePayload(4000, reason) }));
      await client.end();
      await client.cut();
    }
    await expectNobodyElse(gateway);
    expect(log.ofAudit('disconnect').map(({ reason }) => reason)).toEqual(reasons);
    expect(log.ofAudit('refuse')).toHaveLength(origins.length);
    expect(await control.losses()).toEqual([]);
    expect(log.broken).toEqual([]);
  });
});
