import { randomBytes } from 'node:crypto';
import { constants, inflateRawSync } from 'node:zlib';
import { describe, expect, test } from '@jest/globals';
import {
  deflatedTextFrame,
  DEFLATE_WINDOW_BITS,
  encodingOf,
  Frame,
  pingFrame,
  splitFrames,
  textFrame,
  WireFormat,
} from '../../src/fan-out/frame.js';
import { Opcode, type ParsedFrame, parseServerFrames } from '../support/memory.sink.js';
import { seeded } from '../support/random.js';

/** RFC 7692 section 7.2.2: what the sender cut off. */
const DEFLATE_TAIL = Buffer.from([0x00, 0x00, 0xff, 0xff]);

function parseOnly(bytes: Buffer): ParsedFrame {
  const [frame, ...others] = parseServerFrames(bytes, { allowsCompression: true });
  if (frame === undefined || others.length > 0) throw new Error('not one frame');
  return frame;
}

/** As a client without context takeover reads it, in a window no larger than ours. */
function textOf({ isCompressed, payload }: ParsedFrame): string {
  if (!isCompressed) return payload.toString();
  return inflateRawSync(Buffer.concat([payload, DEFLATE_TAIL]), {
    windowBits: DEFLATE_WINDOW_BITS,
    finishFlush: constants.Z_SYNC_FLUSH,
  }).toString();
}

describe('a deflated text frame', () => {
  test.each([
    ['a short one', '{"value":1,"value":1,"value":1,"value":1}'],
    ['one of a 16 bit length', JSON.stringify(Array.from({ length: 400 }, (_, n) => ({ n, value: n * n })))],
    ['one of a 64 bit length', JSON.stringify(Array.from({ length: 40_000 }, (_, n) => n ** 3 + 0.1))],
    ['one that repeats itself beyond the window', `${'abc'.repeat(5000)}${'äöü'.repeat(5000)}${'abc'.repeat(5000)}`],
    ['other scripts and symbols', '{"温度":"21°","🔥":"überhitzt"}'.repeat(20)],
  ])('%s inflates to the text', (_what, text) => {
    const frame = parseOnly(deflatedTextFrame(text));
    expect(frame).toMatchObject({ opcode: Opcode.text, isCompressed: true });
    expect(textOf(frame)).toBe(text);
  });

  test('begins with FIN, RSV1 and the opcode of text, and an unmasked length', () => {
    const bytes = deflatedTextFrame('a'.repeat(1000));
    expect(bytes.subarray(0, 1).toString('hex')).toBe('c1');
    expect(bytes.readUInt8(1)).toBe(bytes.length - 2);
    // What RFC 7692 section 7.2.1 has cut off is not there.
    expect(bytes.subarray(-4).equals(DEFLATE_TAIL)).toBe(false);
  });

  test('has the shortest length that fits', () => {
    const bytes = deflatedTextFrame(JSON.stringify(Array.from({ length: 400 }, (_, n) => ({ n, value: n * n }))));
    expect(bytes.subarray(0, 2).toString('hex')).toBe('c17e');
    expect(bytes.readUInt16BE(2)).toBe(bytes.length - 4);
  });

  test.each([
    ['nothing', ''],
    ['one character', 'a'],
    ["RFC 7692's own example", 'Hello'],
    ['what is random', randomBytes(300).toString('base64')],
  ])('%s, which does not become smaller, is sent as it is', (_what, text) => {
    const bytes = deflatedTextFrame(text);
    const plain = textFrame(text);
    expect(bytes.length).toBeLessThanOrEqual(plain.length);
    const isPlain = bytes.equals(plain);
    expect(parseOnly(bytes).isCompressed).toBe(!isPlain);
    expect(textOf(parseOnly(bytes))).toBe(text);
  });

  test('"Hello" in hex', () => {
    expect(deflatedTextFrame('Hello').toString('hex')).toBe('810548656c6c6f');
  });

  test(
    'is never larger than the plain one, and always the same text',
    seeded((random) => {
      for (let round = 0; round < 500; round++) {
        const alphabet = random.pick(['a', 'ab', '0123456789,.{}"', 'äöüß', '温度🔥', '\u0001\u2028"\\']);
        const characters = [...alphabet];
        const length = random.below(random.pick([10, 200, 5000]));
        const text = Array.from({ length }, () => random.pick(characters)).join('');
        const bytes = deflatedTextFrame(text);
        expect(bytes.length).toBeLessThanOrEqual(textFrame(text).length);
        expect(textOf(parseOnly(bytes))).toBe(text);
      }
    }),
  );
});

describe('the encodings of a raw datum', () => {
  const json = JSON.stringify({ businessType: 'dev', businessId: '1', filling: 'x'.repeat(2000) });
  const PLAIN = encodingOf(WireFormat.plain, false);
  const PUSH_V1 = encodingOf(WireFormat.pushV1, false);
  const DEFLATED_PLAIN = encodingOf(WireFormat.plain, true);
  const DEFLATED_PUSH_V1 = encodingOf(WireFormat.pushV1, true);
  const isCompressed = (frame: Frame, encoding: typeof PLAIN) => parseOnly(frame.bytes(encoding)).isCompressed;

  test('are four, each with the message of its wire format', () => {
    const frame = Frame.rawData(json, undefined, 1024);
    const message = `{"event":"rawData","data":${json}}`;
    expect([PLAIN, DEFLATED_PLAIN].map((encoding) => textOf(parseOnly(frame.bytes(encoding))))).toEqual([json, json]);
    expect([PUSH_V1, DEFLATED_PUSH_V1].map((encoding) => textOf(parseOnly(frame.bytes(encoding))))).toEqual([
      message,
      message,
    ]);
    expect([PLAIN, PUSH_V1, DEFLATED_PLAIN, DEFLATED_PUSH_V1].map((each) => isCompressed(frame, each))).toEqual([
      false,
      false,
      true,
      true,
    ]);
  });

  test('are built once', () => {
    const frame = Frame.rawData(json, undefined, 1024);
    for (const encoding of [PLAIN, PUSH_V1, DEFLATED_PLAIN, DEFLATED_PUSH_V1]) {
      expect(frame.bytes(encoding)).toBe(frame.bytes(encoding));
    }
  });

  test.each([
    ['at the threshold', 1024, true],
    ['one byte below it', 1023, false],
  ])('%s of bytes of JSON', (_what, length, compressed) => {
    const frame = Frame.rawData('x'.repeat(length), undefined, 1024);
    for (const encoding of [DEFLATED_PLAIN, DEFLATED_PUSH_V1]) expect(isCompressed(frame, encoding)).toBe(compressed);
  });

  test('without a threshold, and of a text, the plain bytes are shared with those who could inflate', () => {
    for (const frame of [Frame.rawData(json, undefined), Frame.text(json), Frame.rawData('{}', undefined, 1024)]) {
      expect(frame.bytes(DEFLATED_PLAIN)).toBe(frame.bytes(PLAIN));
      expect(frame.bytes(DEFLATED_PUSH_V1)).toBe(frame.bytes(PUSH_V1));
    }
  });

  test('an alarm is compressed as raw data are', () => {
    const frame = Frame.alarm({ epoch: 'e', offset: 1 }, json, 1024);
    expect(textOf(parseOnly(frame.bytes(DEFLATED_PUSH_V1)))).toBe(`{"event":"alarm","id":"e.1","data":${json}}`);
    expect(isCompressed(frame, DEFLATED_PUSH_V1)).toBe(true);
  });
});

const split = (bytes: Buffer) =>
  [...splitFrames(bytes)].map(({ isText, payload }) => ({ isText, text: payload.toString() }));

describe('splitFrames', () => {
  test('takes apart what was joined', () => {
    const texts = ['', 'a', 'x'.repeat(125), 'x'.repeat(126), 'ü'.repeat(40_000), '{"n":1}'];
    const joined = Buffer.concat(texts.flatMap((text, n) => [textFrame(text), pingFrame(`m${n}`)]));
    expect(split(joined)).toEqual(
      texts.flatMap((text, n) => [
        { isText: true, text },
        { isText: false, text: `m${n}` },
      ]),
    );
  });

  test('nothing is nothing, and an empty ping is a ping', () => {
    expect(split(Buffer.alloc(0))).toEqual([]);
    expect(split(pingFrame(''))).toEqual([{ isText: false, text: '' }]);
  });

  test.each([65_535, 65_536, 1024 * 1024])('a text of %i bytes is whole', (length) => {
    expect(split(Buffer.concat([textFrame('x'.repeat(length)), textFrame('end')]))).toEqual([
      { isText: true, text: 'x'.repeat(length) },
      { isText: true, text: 'end' },
    ]);
  });
});
