import { deflateRawSync } from 'node:zlib';
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
import { WEBSOCKET_KEY } from '../support/raw-upgrade.js';
import type { Random } from '../support/random.js';

export interface FuzzRequest {
  readonly method: string;
  readonly url: string;
  readonly headers: readonly (readonly [string, string])[];
}

/** Characters and pieces of text that something somewhere takes for something else. */
const PIECES = [
  '',
  ' ',
  '\t',
  '\0',
  '\n',
  '\r\n',
  '\x1b[31m',
  '\x7f',
  '\x85',
  '\x9b',
  '\xa0',
  '\xff',
  '\u2028',
  '\u202e',
  '\ufeff',
  '\ud800',
  '\udc00',
  '\u{1f600}',
  '\u0130',
  '\uff0e',
  'a\u030a',
  '%',
  '%%',
  '%00',
  '%2e',
  '%2F',
  '%25',
  '%C0%AF',
  '%E7%94%B5',
  '%ED%A0%80',
  '%zz',
  '.',
  '..',
  '...',
  '/',
  '//',
  '\\',
  ':',
  ';',
  ',',
  '=',
  '"',
  '\\"',
  "'",
  '*',
  '?',
  '#',
  '&',
  '@',
  '[',
  ']',
  '{',
  '}',
  '<',
  '>',
  '|',
  '~',
  '+',
  '-',
  '0',
  '1',
  '-1',
  '1e3',
  '0x10',
  '1.5',
  '9'.repeat(20),
  'NaN',
  'Infinity',
  'null',
  'true',
  'false',
  '__proto__',
  'constructor',
  'a',
  'Z',
  'é',
  '电',
  'a'.repeat(129),
];
const ORIGINS = [
  'http://127.0.0.1:3000',
  'https://app.example',
  'http://localhost',
  'null',
  'file://',
  '*',
  '',
  'http://[::1]',
];
const HOSTS = [
  '127.0.0.1:3000',
  'localhost',
  '[::1]:80',
  'app.example',
  'LOCALHOST',
  '',
  '127.1',
  'a@b',
  'a, b',
  '[::1',
];
const ADDRESSES = [
  '127.0.0.1',
  '10.0.0.1',
  '::1',
  '::ffff:127.0.0.1',
  'fe80::1%eth0',
  '1.2.3',
  '0x7f.1',
  'unknown',
  '_x',
  '',
];
const EXTENSIONS = [
  'permessage-deflate',
  'permessage-deflate; client_max_window_bits',
  'permessage-deflate; server_max_window_bits=15; client_max_window_bits=15',
  'permessage-deflate; server_max_window_bits=9',
  'permessage-deflate; server_max_window_bits="12"',
  'permessage-deflate; server_no_context_takeover',
  'permessage-deflate; server_max_window_bits="\\9"',
  'permessage-deflate; server_max_window_bits=+9',
  'x-other; a="b,c"',
];
const NAMES = ['Accept', 'Cookie', 'X-A', '__proto__', 'constructor', 'toString', 'Last-Event-ID', 'Authorization'];

/** Text of random pieces. */
export function randomText(random: Random, mostPieces = 6): string {
  return Array.from({ length: random.below(mostPieces + 1) }, () => random.pick(PIECES)).join('');
}

/** The text with a few places changed. */
export function mutate(random: Random, text: string): string {
  let mutated = text;
  for (let changes = random.below(3) + 1; changes > 0; changes--) {
    const at = random.below(mutated.length + 1);
    const end = Math.min(mutated.length, at + random.below(4));
    switch (random.below(5)) {
      case 0:
        mutated = mutated.slice(0, at) + random.pick(PIECES) + mutated.slice(at);
        break;
      case 1:
        mutated = mutated.slice(0, at) + mutated.slice(end);
        break;
      case 2:
        mutated = mutated.slice(0, at) + random.pick(PIECES) + mutated.slice(end);
        break;
      case 3:
        mutated = mutated.slice(0, at) + mutated.slice(at, end).repeat(1 + random.below(4)) + mutated.slice(end);
        break;
      default:
        mutated =
          mutated.slice(0, at) +
          String.fromCharCode(random.below(random.pick([128, 256, 65_536]))) +
          mutated.slice(end);
    }
  }
  return mutated;
}

/** One of these, often changed. */
function near(random: Random, choices: readonly string[]): string {
  const text = random.pick(choices);
  return random.chance(0.4) ? mutate(random, text) : text;
}

const part = (random: Random) =>
  random.chance(0.5) ? encodedOf(randomText(random, 3)) : near(random, ['dev', '1', 'ann']);

function encodedOf(text: string): string {
  return encodeURIComponent(text.toWellFormed());
}

function randomQuery(random: Random): string {
  const names = ['minSeverity', 'businessType', 'businessId', 'lastEventId', 'replay', 'durable', 'maxFrequencyHz'];
  const values = ['1', '1000', 'all', 'active', '100', 'true', 'abc.12', '0.5', 'phone-1', '*', ''];
  const parameters = Array.from({ length: random.below(4) }, () => {
    const name = near(random, [...names, 'snapshot', 'history', 'ticket', 'access_token']);
    return `${name}=${random.chance(0.3) ? encodedOf(randomText(random, 3)) : near(random, values)}`;
  });
  return parameters.length === 0 ? '' : `?${parameters.join('&')}`;
}

export function randomUrl(random: Random): string {
  const kind = random.weighted({ rawData: 4, alarm: 3, changed: 3, text: 1, long: 0.3 });
  const rawData = () => `/ws/rowdata/${part(random)}/${part(random)}/${part(random)}`;
  switch (kind) {
    case 'rawData':
      return rawData() + randomQuery(random);
    case 'alarm':
      return `/ws/alarm${randomQuery(random)}`;
    case 'changed':
      return (
        mutate(random, random.pick([rawData(), '/ws/alarm', '//ws/alarm', 'http://a/ws/alarm'])) + randomQuery(random)
      );
    case 'long':
      return `/ws/alarm?businessId=${'a'.repeat(random.below(4096))}`;
    default:
      return randomText(random, 12);
  }
}

/** An upgrade that is right but for a few things. */
export function randomRequest(random: Random): FuzzRequest {
  const headers: [string, string][] = [
    ['Host', near(random, HOSTS)],
    ['Connection', near(random, ['Upgrade', 'keep-alive, Upgrade'])],
    ['Upgrade', random.chance(0.9) ? 'websocket' : near(random, ['websocket', 'h2c', 'WebSocket'])],
    ['Sec-WebSocket-Version', random.chance(0.9) ? '13' : near(random, ['13', '8'])],
    ['Sec-WebSocket-Key', random.chance(0.9) ? WEBSOCKET_KEY : near(random, [WEBSOCKET_KEY])],
  ];
  const sometimes: [string, readonly string[]][] = [
    ['Origin', ORIGINS],
    ['Sec-WebSocket-Protocol', ['push.v1', 'push.v1, bearer.abc.def', 'other', 'a,b , push.v1']],
    ['Sec-WebSocket-Extensions', EXTENSIONS],
    ['Authorization', ['Bearer abc.def.ghi', 'Basic abc', 'bearer  x']],
    ['X-Forwarded-For', ADDRESSES],
    ['X-Forwarded-Host', HOSTS],
    ['X-Forwarded-Proto', ['https', 'http', 'wss']],
    ['Last-Event-ID', ['abc.12', 'a.0']],
  ];
  for (const [name, values] of sometimes) {
    if (random.chance(0.3)) headers.push([name, near(random, values)]);
    if (random.chance(0.03)) headers.push([name, near(random, values)]);
  }
  if (random.chance(0.1)) headers.push([random.pick(NAMES), randomText(random)]);
  if (random.chance(0.02)) headers.splice(random.below(headers.length), 1);
  if (random.chance(0.02)) headers.push(random.pick(headers));
  if (random.chance(0.01)) for (let n = random.below(150); n > 0; n--) headers.push([`X-${n}`, 'x']);
  return {
    method: random.chance(0.95) ? 'GET' : random.pick(['POST', 'HEAD', 'get', '']),
    url: randomUrl(random),
    headers,
  };
}

/** As it is written on the socket; now and then not quite HTTP. */
export function requestText(random: Random, { method, url, headers }: FuzzRequest): string {
  const lines = headers.map(([name, value]) => `${name}: ${value}`);
  const text = [`${method} ${url} HTTP/1.1`, ...lines, '', ''].join('\r\n');
  return random.chance(0.1) ? mutate(random, text) : text;
}

const MESSAGES = [
  '{"event":"subscribe","ref":1,"data":{"keys":[{"businessType":"dev","businessId":"1"}]}}',
  '{"event":"subscribe","data":{"keys":[{"businessType":"a","businessId":"*","maxFrequencyHz":2,"snapshot":true,"history":5}]}}',
  '{"event":"unsubscribe","ref":"x","data":{"keys":[{"businessType":"dev","businessId":"1"}]}}',
  '{"event":"mark","data":{"n":32}}',
  '{"event":"ack","data":{"id":"abc.12"}}',
  '{"event":"auth","data":{"token":"abc"}}',
  '{"event":"chat","ref":-1.5e3,"data":[{"a":null}]}',
];

function randomJson(random: Random, depth: number): unknown {
  const kind = random.weighted({ text: 3, number: 2, word: 2, array: depth > 0 ? 2 : 0, object: depth > 0 ? 3 : 0 });
  switch (kind) {
    case 'text':
      return randomText(random, 3);
    case 'number':
      return random.pick([0, -0, 1, -1, 0.5, 1e21, 2 ** 53, -(2 ** 53), 1e308, 5e-324, random.below(2000)]);
    case 'word':
      return random.pick([null, true, false]);
    case 'array':
      return Array.from({ length: random.below(4) }, () => randomJson(random, depth - 1));
    default:
      return Object.fromEntries(
        Array.from({ length: random.below(5) }, () => [
          random.pick([
            'event',
            'data',
            'ref',
            'keys',
            'n',
            'id',
            'token',
            'businessType',
            'businessId',
            '__proto__',
            'history',
          ]),
          randomJson(random, depth - 1),
        ]),
      );
  }
}

/** A message of a `push.v1` client, or what is nearly one. */
export function randomMessage(random: Random): string {
  switch (random.weighted({ right: 1, changed: 5, shaped: 3, json: 2, text: 1 })) {
    case 'right':
      return random.pick(MESSAGES);
    case 'changed':
      return mutate(random, random.pick(MESSAGES));
    case 'shaped':
      return JSON.stringify({
        event: random.chance(0.8)
          ? random.pick(['subscribe', 'unsubscribe', 'mark', 'ack', 'auth', 'x'])
          : randomJson(random, 1),
        ...(random.chance(0.5) ? { ref: randomJson(random, 1) } : {}),
        data: random.chance(0.5) ? { keys: [randomJson(random, 2)], n: randomJson(random, 1) } : randomJson(random, 3),
      });
    case 'json':
      return JSON.stringify(randomJson(random, 4));
    default:
      return randomText(random, 20);
  }
}

/** A frame that is right but for a few things. */
export function randomFrame(random: Random): Buffer {
  const opcode = random.chance(0.9)
    ? random.pick([TEXT, TEXT, TEXT, BINARY, CONTINUATION, PING, PONG, CLOSE])
    : random.below(16);
  const frame: RawFrame = {
    opcode,
    payload: randomPayload(random, opcode),
    isFinal: random.chance(0.85),
    isMasked: random.chance(0.97),
  };
  if (random.chance(0.1)) frame.reserved = random.below(8);
  if (random.chance(0.05)) frame.claimedLength = BigInt(random.below(200)) << BigInt(random.below(57));
  if (random.chance(0.1) && opcode === TEXT) {
    frame.payload = deflateRawSync(randomMessage(random), { finishFlush: 2 }).subarray(0, -4);
    frame.reserved = RSV1;
  }
  const bytes = rawFrame(frame);
  return random.chance(0.05) ? bytes.subarray(0, random.below(bytes.length + 1)) : bytes;
}

function randomPayload(random: Random, opcode: number): Buffer | string {
  if (opcode === CLOSE && random.chance(0.9)) return closePayload(random.below(5000), randomText(random, 2));
  if (opcode === PONG && random.chance(0.7)) return `m${near(random, ['1', '32', '-1'])}`;
  if (opcode === TEXT || opcode === CONTINUATION) return randomMessage(random);
  const bytes = Buffer.alloc(random.below(random.pick([8, 130, 20_000])));
  return bytes.fill(random.below(256));
}

/** What one connection sends after its upgrade. */
export function randomFrames(random: Random): Buffer {
  return Buffer.concat(Array.from({ length: 1 + random.below(random.pick([4, 12, 80])) }, () => randomFrame(random)));
}
