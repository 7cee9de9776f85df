import { setTimeout as delay } from 'node:timers/promises';
import { deflateRawSync } from 'node:zlib';
import { describe, expect, test } from '@jest/globals';
import type { PushModuleOptions } from '../../src/index.js';
import { Control } from '../support/control.client.js';
import { until } from '../support/deadline.js';
import { gatewayOn, type TestGateway } from '../support/gateway.fixture.js';
import {
  BINARY,
  CLOSE,
  closePayload,
  CONTINUATION,
  PING,
  PONG,
  type RawFrame,
  rawFrame,
  RSV1,
  TEXT,
} from '../support/raw-frames.js';
import type { RawRequest } from '../support/raw-upgrade.js';
import { RawWebSocket } from '../support/raw-websocket.js';

const PATHS = ['/ws/rowdata/dev/1/evil', '/ws/alarm?businessType=dev'];
const MAX_MESSAGE_BYTES = 16 * 1024;
const DEFLATE = { 'Sec-WebSocket-Extensions': 'permessage-deflate' };

const frames = (...all: RawFrame[]) => all.map(rawFrame);
const begin = (payload: RawFrame['payload'] = 'a', opcode = TEXT): RawFrame => ({ opcode, payload, isFinal: false });
const goOn = (payload: RawFrame['payload'] = 'a'): RawFrame => ({ opcode: CONTINUATION, payload, isFinal: false });
const last = (payload: RawFrame['payload'] = 'a'): RawFrame => ({ opcode: CONTINUATION, payload });
const times = (count: number, frame: RawFrame) => Array.from({ length: count }, () => frame);
const hex = (text: string) => Buffer.from(text.replaceAll(' ', ''), 'hex');
const deflated = (text: string) => deflateRawSync(text, { finishFlush: 2 }).subarray(0, -4);

/** What ends the connection, and with which code; undefined: it is cut, as its pongs would pile up. */
const ending: [string, Buffer[], number | undefined][] = [
  ['an unmasked text', frames({ opcode: TEXT, payload: 'a', isMasked: false }), 1002],
  ['an unmasked ping', frames({ opcode: PING, isMasked: false }), 1002],
  ['an unmasked close', frames({ opcode: CLOSE, isMasked: false }), 1002],
  ...[1, 2, 3, 4, 5, 6, 7].map((reserved): [string, Buffer[], number] => [
    `the reserved bits ${reserved}`,
    frames({ opcode: TEXT, payload: 'a', reserved }),
    1002,
  ]),
  [
    'a compressed message, which was not negotiated',
    frames({ opcode: TEXT, payload: deflated('a'), reserved: RSV1 }),
    1002,
  ],
  ...[3, 4, 5, 6, 7, 11, 12, 13, 14, 15].map((opcode): [string, Buffer[], number] => [
    `the reserved opcode ${opcode}`,
    frames({ opcode }),
    1002,
  ]),
  ['a ping of 126 bytes', frames({ opcode: PING, payload: 'a'.repeat(126) }), 1002],
  ['a pong of 126 bytes', frames({ opcode: PONG, payload: 'a'.repeat(126) }), 1002],
  ['a ping that says 2^40 bytes', frames({ opcode: PING, claimedLength: 1n << 40n }), 1002],
  ['a fragmented ping', frames({ opcode: PING, isFinal: false }, last()), 1002],
  ['a fragmented close', frames({ opcode: CLOSE, isFinal: false }), 1002],
  ['a fragmented pong amid a message', frames(begin(), { opcode: PONG, isFinal: false }), 1002],
  ['a ping with a reserved bit', frames({ opcode: PING, reserved: RSV1 }), 1002],
  ['a close of 1 byte', frames({ opcode: CLOSE, payload: 'a' }), 1002],
  ['a close of 126 bytes', frames({ opcode: CLOSE, payload: closePayload(1000, 'a'.repeat(124)) }), 1002],
  ...[0, 1, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65_535].map(
    (code): [string, Buffer[], number] => [
      `a close with the code ${code}`,
      frames({ opcode: CLOSE, payload: closePayload(code) }),
      1002,
    ],
  ),
  ['a close whose reason is no UTF-8', frames({ opcode: CLOSE, payload: closePayload(1000, hex('ff')) }), 1007],
  ...['80', 'ff', 'c0 af', 'c1 81', 'e0 80 af', 'ed a0 80', 'f4 90 80 80', 'f8 88 80 80 80', '61 c3', 'fe ff'].map(
    (bytes): [string, Buffer[], number] => [`a text of ${bytes}`, frames({ opcode: TEXT, payload: hex(bytes) }), 1007],
  ),
  ['half a character at the end of fragments', frames(begin(hex('f0 9f')), last(hex('98'))), 1007],
  ...[14n, 20n, 31n, 32n, 40n, 52n].map((power): [string, Buffer[], number] => [
    `a length of 2^${power} + 1`,
    frames({ opcode: BINARY, claimedLength: (1n << power) + 1n }),
    1009,
  ]),
  ...[53n, 62n, 63n].map((power): [string, Buffer[], number] => [
    `a length of 2^${power}`,
    frames({ opcode: TEXT, claimedLength: 1n << power }),
    1009,
  ]),
  ['a length of 2^64 - 1', frames({ opcode: TEXT, claimedLength: (1n << 64n) - 1n }), 1009],
  ['a message of one byte too many', frames({ opcode: TEXT, payload: 'a'.repeat(MAX_MESSAGE_BYTES + 1) }), 1009],
  ['fragments of one byte too many', frames(begin('a'.repeat(MAX_MESSAGE_BYTES - 1)), goOn(), last()), 1009],
  ['a continuation of nothing', frames(last()), 1002],
  ['a continuation behind a whole message', frames(begin(), last(), last()), 1002],
  ['a message amid another', frames(begin(), { opcode: TEXT, payload: 'b' }), 1002],
  ['a binary one amid a text', frames(begin(), { opcode: BINARY, payload: 'b' }), 1002],
  ['65 fragments', frames(begin(), ...times(63, goOn()), last()), 1008],
  ['10,000 empty fragments', frames(begin(''), ...times(10_000, goOn(''))), 1008],
  [
    'fragments with pings between',
    frames(begin(), ...times(64, goOn()).flatMap((each, n) => (n % 2 === 0 ? [{ opcode: PING }, each] : [each]))),
    1008,
  ],
  ['a request of HTTP', [Buffer.from('GET / HTTP/1.1\r\nHost: a\r\n\r\n')], 1002],
  ['zeros', [Buffer.alloc(1000)], 1002],
  ['ones', [Buffer.alloc(1000, 0xff)], 1002],
  ['300 pings at once', frames(...times(300, { opcode: PING })), undefined],
  [
    '10,000 pings at once',
    [Buffer.concat(frames(...times(10_000, { opcode: PING, payload: 'a'.repeat(100) })))],
    undefined,
  ],
  ['300 pongs at once', frames(...times(300, { opcode: PONG })), 4429],
  [
    'forged pongs of marks',
    frames(...Array.from({ length: 300 }, (_, n) => ({ opcode: PONG, payload: `m${n}` }))),
    4429,
  ],
];

/** What ends the connection where compression was negotiated. */
const endingCompressed: [string, Buffer[], number][] = [
  ['a bomb', frames({ opcode: TEXT, payload: deflated('a'.repeat(8_000_000)), reserved: RSV1 }), 1009],
  [
    'a bomb in fragments',
    frames(
      { ...begin(deflated('a'.repeat(8_000_000)).subarray(0, 4000)), reserved: RSV1 },
      last(deflated('a'.repeat(8_000_000)).subarray(4000)),
    ),
    1009,
  ],
  [
    'a hundred bombs at once',
    frames(...times(100, { opcode: BINARY, payload: deflated('\0'.repeat(8_000_000)), reserved: RSV1 })),
    1009,
  ],
  ['what is not deflated', frames({ opcode: TEXT, payload: 'not deflated', reserved: RSV1 }), 1007],
  ['ones', frames({ opcode: TEXT, payload: Buffer.alloc(100, 0xff), reserved: RSV1 }), 1007],
  ['a distance too far back', frames({ opcode: TEXT, payload: hex('4b 04 11 00'), reserved: RSV1 }), 1007],
  [
    'a text that is no UTF-8 once it is inflated',
    frames({ opcode: TEXT, payload: deflateRawSync(hex('ff'), { finishFlush: 2 }).subarray(0, -4), reserved: RSV1 }),
    1007,
  ],
  ['RSV2', frames({ opcode: TEXT, payload: 'a', reserved: 2 }), 1002],
  ['RSV1 on a continuation', frames({ ...begin(deflated('a')), reserved: RSV1 }, { ...last(), reserved: RSV1 }), 1002],
  ['RSV1 on a ping', frames({ opcode: PING, reserved: RSV1 }), 1002],
  ['RSV1 on a close', frames({ opcode: CLOSE, reserved: RSV1 }), 1002],
  [
    '300 compressed messages at once',
    frames(...times(300, { opcode: TEXT, payload: deflated('{}'), reserved: RSV1 })),
    4429,
  ],
];

/** What is odd and allowed. */
const passing: [string, Buffer[]][] = [
  ['an empty text', frames({ opcode: TEXT })],
  ['an empty binary message', frames({ opcode: BINARY })],
  ['the largest message', frames({ opcode: BINARY, payload: 'a'.repeat(MAX_MESSAGE_BYTES) })],
  ['64 fragments', frames(begin(), ...times(62, goOn()), last())],
  ['64 empty fragments', frames(begin(''), ...times(62, goOn('')), last(''))],
  ['a character split over fragments', frames(begin(hex('f0 9f')), goOn(hex('98')), last(hex('80')))],
  ['a ping of 125 bytes amid a message', frames(begin(), { opcode: PING, payload: 'a'.repeat(125) }, last())],
  ['a pong that nobody asked for', frames({ opcode: PONG, payload: 'a'.repeat(125) })],
  [
    'pongs like those of marks',
    frames(
      ...[
        'm',
        'm0',
        'm-1',
        'm1e3',
        'm0x1',
        'm1.5',
        'mNaN',
        'mInfinity',
        'm9007199254740991',
        'm99999999999999999999',
      ].map((payload) => ({ opcode: PONG, payload })),
      ...['\xff', 'm\0', 'm 1', 'm\u0661', 'M1', `m${'9'.repeat(124)}`].map((payload) => ({ opcode: PONG, payload })),
    ),
  ],
  ['a byte at a time', Array.from(rawFrame({ opcode: TEXT, payload: 'a'.repeat(200) }), (byte) => Buffer.from([byte]))],
];

async function hostile(gateway: TestGateway, path: string, headers: RawRequest['headers'] = {}): Promise<RawWebSocket> {
  return RawWebSocket.connect(gateway.port, { path, headers });
}

async function expectNobodyElse(gateway: TestGateway): Promise<void> {
  await until(() => gateway.placesTaken === Control.COUNT, 'no place is taken but the control clients’');
  await until(() => gateway.rawData.count() + gateway.alarms.count() === Control.COUNT, 'nobody else is known');
}

async function startGateway(options: PushModuleOptions = {}): Promise<{ gateway: TestGateway; control: Control }> {
  const gateway = await gatewayOn('express')
    .withOptions({ drainDeadlineMs: 500, ...options })
    .start();
  return { gateway, control: await Control.on(gateway) };
}

describe.each(PATHS)('hostile frames on %s', (path) => {
  const FORMATS = [
    ['plain', {}],
    ['push.v1', { 'Sec-WebSocket-Protocol': 'push.v1' }],
  ] as const;

  async function endsOf(
    chunks: readonly Buffer[],
    headers: RawRequest['headers'],
    options?: PushModuleOptions,
  ): Promise<(number | undefined)[]> {
    const codes: (number | undefined)[] = [];
    const { gateway, control } = await startGateway(options);
    for (const [, format] of FORMATS) {
      const client = await hostile(gateway, path, { ...format, ...headers });
      client.write(...chunks);
      await control.beat();
      codes.push((await client.end())?.code);
      await client.cut();
    }
    expect(await control.losses()).toEqual([]);
    await expectNobodyElse(gateway);
    return codes;
  }

  describe('that end their connection', () => {
    test.each(ending)('%s', async (_what, chunks, code) => {
      expect(await endsOf(chunks, {})).toEqual([code, code]);
    });
  });

  describe('that end their connection where compression is on', () => {
    test.each(endingCompressed)('%s', async (_what, chunks, code) => {
      expect(await endsOf(chunks, DEFLATE, { compression: {} })).toEqual([code, code]);
    });
  });

  describe('that are odd and pass', () => {
    test.each(passing)('%s', async (_what, chunks) => {
      const { gateway, control } = await startGateway();
      for (const [, format] of FORMATS) {
        const client = await hostile(gateway, path, { ...format });
        client.write(...chunks);
        expect(await client.isAlive()).toBe(true);
        await client.cut();
      }
      expect(await control.losses()).toEqual([]);
      await expectNobodyElse(gateway);
    });
  });

  test('pings that are answered are counted as messages are: 4429', async () => {
    const { gateway, control } = await startGateway();
    const client = await hostile(gateway, path);
    // 200 at once and 100 a second more are allowed; however slow this machine is, these are faster.
    for (let n = 0; await client.isAlive(`probe ${n}`); n++) client.write(...frames(...times(29, { opcode: PING })));
    expect(await client.end()).toEqual({ code: 4429, reason: 'too many messages' });
    await client.cut();
    expect(await control.losses()).toEqual([]);
    await expectNobodyElse(gateway);
  });

  test('messages that never end are closed with 4400, however they are drawn out', async () => {
    const { gateway, control } = await startGateway({ maxMessageMs: 1000 });
    const whole = rawFrame({ opcode: TEXT, payload: 'a'.repeat(4000) });
    const beginnings = [
      whole.subarray(0, 1),
      whole.subarray(0, 2),
      whole.subarray(0, 6),
      whole.subarray(0, 100),
      rawFrame(begin()),
      rawFrame(begin('')),
      Buffer.concat([rawFrame({ opcode: BINARY, payload: 'a' }), rawFrame(begin())]),
    ];
    const silent = await Promise.all(beginnings.map(() => hostile(gateway, path)));
    silent.forEach((client, n) => client.write(beginnings[n] ?? whole));
    const dripping = await hostile(gateway, path);
    const pinging = await hostile(gateway, path);
    pinging.write(rawFrame(begin()));
    let at = 0;
    const drip = setInterval(() => {
      dripping.write(whole.subarray(at, (at += 1)));
      pinging.write(rawFrame({ opcode: PING }));
    }, 20);
    const beat = setInterval(() => void control.beat(), 20);
    try {
      for (const client of [...silent, dripping, pinging]) {
        expect(await client.end()).toEqual({ code: 4400, reason: 'bad message' });
      }
    } finally {
      clearInterval(drip);
      clearInterval(beat);
    }
    await Promise.all([...silent, dripping, pinging].map((client) => client.cut()));
    expect(await control.losses()).toEqual([]);
    await expectNobodyElse(gateway);
  });

  test('messages that each end in time pass, though there is always one that has begun', async () => {
    const { gateway, control } = await startGateway({ maxMessageMs: 1000 });
    const client = await hostile(gateway, path);
    client.write(rawFrame(begin()));
    const startMs = performance.now();
    while (performance.now() - startMs < 3500) {
      client.write(Buffer.concat([rawFrame(last()), rawFrame(begin())]));
      await delay(100);
    }
    expect(await client.isAlive()).toBe(true);
    await client.cut();
    expect(await control.losses()).toEqual([]);
  });

  test('10,000 frames behind a close change nothing', async () => {
    const { gateway, control } = await startGateway();
    const client = await hostile(gateway, path);
    client.write(rawFrame({ opcode: CLOSE, payload: closePayload(4321, '\u009b31m\u2028evil') }));
    client.write(Buffer.concat(frames(...times(10_000, { opcode: TEXT, payload: 'a' }))));
    expect(await client.end()).toMatchObject({ code: 4321 });
    await client.cut();
    expect(await control.losses()).toEqual([]);
    await expectNobodyElse(gateway);
  });
});
