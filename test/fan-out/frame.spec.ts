import { describe, expect, test } from '@jest/globals';
import { Frame, pingFrame, textFrame, WireFormat } from '../../src/fan-out/frame.js';
import { Opcode, parseServerFrames } from '../support/memory.sink.js';

describe('textFrame', () => {
  test.each([
    ['', '8100'],
    ['Hello', '810548656c6c6f'],
    ['电', '8103e794b5'],
    ['{"a":1}', '81077b2261223a317d'],
  ])('of %j is %s', (text, hex) => {
    expect(textFrame(text).toString('hex')).toBe(hex);
  });

  test.each([
    [125, '817d'],
    [126, '817e007e'],
    [65_535, '817effff'],
    [65_536, '817f0000000000010000'],
    [1_048_576, '817f0000000000100000'],
  ])('has the shortest header for %i bytes', (length, header) => {
    const frame = textFrame('a'.repeat(length));
    expect(frame.toString('hex', 0, header.length / 2)).toBe(header);
    expect(frame).toHaveLength(header.length / 2 + length);
    expect(parseServerFrames(frame).map(({ payload }) => payload.length)).toEqual([length]);
  });

  test('counts bytes of UTF-8, not characters', () => {
    const text = '电'.repeat(42);
    expect(textFrame(text).toString('hex', 0, 4)).toBe('817e007e');
    expect(parseServerFrames(textFrame(text))[0]?.payload.toString()).toBe(text);
  });

  test('is valid UTF-8 whatever the string holds', () => {
    const [frame] = parseServerFrames(textFrame('a\ud800b'));
    expect(frame?.payload.toString()).toBe('a\ufffdb');
  });
});

describe('pingFrame', () => {
  test.each([
    ['', '8900'],
    ['m1', '89026d31'],
  ])('of %j is %s', (payload, hex) => {
    expect(pingFrame(payload).toString('hex')).toBe(hex);
  });

  test('takes 125 bytes and no more', () => {
    expect(parseServerFrames(pingFrame('p'.repeat(125)))).toMatchObject([{ opcode: Opcode.ping }]);
    expect(() => pingFrame('p'.repeat(126))).toThrow(RangeError);
    expect(() => pingFrame('电'.repeat(42))).toThrow(RangeError);
  });
});

const textIn = (frame: Frame, format: WireFormat) => parseServerFrames(frame.bytes(format))[0]?.payload.toString();

describe('Frame', () => {
  test('a raw datum is bare JSON on the plain wire and a rawData message on push.v1', () => {
    const frame = Frame.rawData('{"v":1}', 'k');
    expect(textIn(frame, WireFormat.plain)).toBe('{"v":1}');
    expect(textIn(frame, WireFormat.pushV1)).toBe('{"event":"rawData","data":{"v":1}}');
    expect(frame.conflationKey).toBe('k');
  });

  test('an alarm is bare JSON on the plain wire and an alarm message with its cursor on push.v1', () => {
    const frame = Frame.alarm({ epoch: 'e1', offset: 7 }, '{"businessId":"1"}');
    expect(textIn(frame, WireFormat.plain)).toBe('{"businessId":"1"}');
    expect(textIn(frame, WireFormat.pushV1)).toBe('{"event":"alarm","id":"e1.7","data":{"businessId":"1"}}');
    expect(frame.conflationKey).toBeUndefined();
  });

  test('a text is the same on both wires', () => {
    const frame = Frame.text('hi');
    expect(textIn(frame, WireFormat.plain)).toBe('hi');
    expect(frame.bytes(WireFormat.pushV1)).toEqual(frame.bytes(WireFormat.plain));
    expect(frame.conflationKey).toBeUndefined();
  });

  test('bytes are built once for each wire format', () => {
    const frame = Frame.rawData('{"v":1}', 'k');
    expect(frame.bytes(WireFormat.plain)).toBe(frame.bytes(WireFormat.plain));
    expect(frame.bytes(WireFormat.pushV1)).toBe(frame.bytes(WireFormat.pushV1));
    expect(frame.bytes(WireFormat.plain)).not.toEqual(frame.bytes(WireFormat.pushV1));
  });
});

describe('the strict parser of the tests', () => {
  test.each([
    ['a masked frame', '8180aabbccdd'],
    ['a fragment', '0100'],
    ['a continuation', '8000'],
    ['RSV1 without compression', 'c100'],
    ['RSV2', 'a100'],
    ['a reserved opcode', '8300'],
    ['a length that fits into 7 bits', '817e0001aa'],
    ['a length that fits into 16 bits', '817f000000000000000161'],
    ['a ping of 126 bytes', `897e007e${'61'.repeat(126)}`],
    ['invalid UTF-8', '8101ff'],
    ['a frame that is cut off', '810561'],
    ['a header that is cut off', '81'],
  ])('refuses %s', (_, hex) => {
    expect(() => parseServerFrames(Buffer.from(hex, 'hex'))).toThrow(
      /^not a valid frame|within a frame's header|encoded data was not valid/,
    );
  });

  test('reads joined frames', () => {
    const frames = parseServerFrames(Buffer.concat([textFrame('a'), pingFrame('m3'), textFrame('')]));
    expect(frames.map(({ opcode, payload }) => [opcode, payload.toString()])).toEqual([
      [Opcode.text, 'a'],
      [Opcode.ping, 'm3'],
      [Opcode.text, ''],
    ]);
  });
});
