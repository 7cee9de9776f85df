import { constants, deflateRawSync } from 'node:zlib';
import { type Cursor, formatCursor } from '../protocol/cursor.js';
import { alarmMessage, type KeyAddress, rawDataMessage } from '../protocol/messages.js';
import { belongsToAny } from './key.js';

/** The wire formats a client can have asked for. */
export const WireFormat = { plain: 0, pushV1: 1 } as const;
export type WireFormat = (typeof WireFormat)[keyof typeof WireFormat];

/** A wire format, as it is or compressed: what a frame's bytes are built for. */
export type Encoding = 0 | 1 | 2 | 3;

export function encodingOf(format: WireFormat, isCompressed: boolean): Encoding {
  return (isCompressed ? format + 2 : format) as Encoding;
}

// RFC 6455 section 5.2: FIN and the opcode; a server never masks, so the second byte is the length alone.
const FIN_TEXT = 0x81;
const FIN_PING = 0x89;
// RFC 7692 section 6: RSV1 on the first frame says that the message is compressed.
const RSV1 = 0x40;
const LENGTH_16_BIT = 126;
const LENGTH_64_BIT = 127;

/** A whole text frame, unmasked, as a server sends it. One allocation. */
export function textFrame(text: string): Buffer {
  const payloadBytes = Buffer.byteLength(text);
  const bytes = allocateFrame(FIN_TEXT, payloadBytes);
  bytes.write(text, bytes.length - payloadBytes, 'utf8');
  return bytes;
}

/**
 * The window that messages are compressed with, smaller than the client's, so that one frame suits all: 12 bits cost
 * little memory and, on JSON of a few KB, hardly any compression.
 */
export const DEFLATE_WINDOW_BITS = 12;
const DEFLATE_OPTIONS = {
  windowBits: DEFLATE_WINDOW_BITS,
  memLevel: 5,
  level: 3,
  finishFlush: constants.Z_SYNC_FLUSH,
};
/** RFC 7692 section 7.2.1: the empty block that ends a sync flush is not sent. */
const DEFLATE_TAIL_BYTES = 4;

/** A text frame compressed without context takeover (RFC 7692), or as it is where that is not smaller. */
export function deflatedTextFrame(text: string): Buffer {
  const deflated = deflateRawSync(text, DEFLATE_OPTIONS);
  const payload = deflated.subarray(0, deflated.length - DEFLATE_TAIL_BYTES);
  if (payload.length >= Buffer.byteLength(text)) return textFrame(text);
  const bytes = allocateFrame(FIN_TEXT | RSV1, payload.length);
  bytes.set(payload, bytes.length - payload.length);
  return bytes;
}

/** Room for a frame, its header written (RFC 6455 section 5.2). */
function allocateFrame(firstByte: number, payloadBytes: number): Buffer {
  const headerBytes = payloadBytes < LENGTH_16_BIT ? 2 : payloadBytes < 65_536 ? 4 : 10;
  const bytes = Buffer.allocUnsafe(headerBytes + payloadBytes);
  bytes[0] = firstByte;
  if (headerBytes === 2) {
    bytes[1] = payloadBytes;
  } else if (headerBytes === 4) {
    bytes[1] = LENGTH_16_BIT;
    bytes.writeUInt16BE(payloadBytes, 2);
  } else {
    bytes[1] = LENGTH_64_BIT;
    bytes.writeUInt32BE(Math.floor(payloadBytes / 0x1_0000_0000), 2);
    bytes.writeUInt32BE(payloadBytes >>> 0, 6);
  }
  return bytes;
}

/** A ping; the payload of a control frame is at most 125 bytes (RFC 6455 section 5.5). */
export function pingFrame(payload: string): Buffer {
  const length = Buffer.byteLength(payload);
  if (length > 125) throw new RangeError('the payload of a ping is at most 125 bytes');
  const bytes = Buffer.allocUnsafe(2 + length);
  bytes[0] = FIN_PING;
  bytes[1] = length;
  bytes.write(payload, 2, 'utf8');
  return bytes;
}

/** Takes apart what was joined here: whole, unmasked text frames and pings, not compressed. */
export function* splitFrames(frames: Buffer): Generator<{ isText: boolean; payload: Buffer }> {
  let start = 0;
  while (start < frames.length) {
    const length7 = frames.readUInt8(start + 1);
    const headerBytes = length7 < LENGTH_16_BIT ? 2 : length7 === LENGTH_16_BIT ? 4 : 10;
    const payloadBytes =
      headerBytes === 2 ? length7 : headerBytes === 4 ? frames.readUInt16BE(start + 2) : frames.readUInt32BE(start + 6);
    const end = start + headerBytes + payloadBytes;
    yield { isText: frames[start] === FIN_TEXT, payload: frames.subarray(start + headerBytes, end) };
    start = end;
  }
}

interface FrameTraits {
  readonly conflationKey?: string | undefined;
  readonly supersedes?: string;
  readonly separates?: (conflationKey: string) => boolean;
  readonly resumesAfter?: number;
}

const NO_TRAITS: FrameTraits = {};

/**
 * One message on its way to clients. Its bytes are built once for each encoding that some client needs and are shared
 * by all of them; nobody may write to them.
 */
export class Frame {
  private readonly built: (Buffer | undefined)[] = [];

  /** Frames of one key replace each other in a conflating outbox; undefined: this frame is never replaced. */
  readonly conflationKey: string | undefined;
  /**
   * Of what a snapshot is made of: what waits of this conflation key is out of date, and this does not take its place, for
   * it belongs behind the answer to the subscription.
   */
  readonly supersedes: string | undefined;
  /**
   * Of an answer that ends subscriptions: values of these conflation keys that wait before it keep their place, and values
   * that come after it go behind it.
   */
  readonly separates: ((conflationKey: string) => boolean) | undefined;
  /** Of what tells a place in the alarm log: where it is not written, delivery goes on after this offset of the log. */
  readonly resumesAfter: number | undefined;

  private constructor(
    /** The message on the plain wire. */
    readonly plainText: string,
    private readonly pushV1Text: (() => string) | undefined,
    /** Texts from this length on are compressed for the clients that negotiated it. */
    private readonly deflateFromBytes: number,
    { conflationKey, supersedes, separates, resumesAfter }: FrameTraits,
  ) {
    this.conflationKey = conflationKey;
    this.supersedes = supersedes;
    this.separates = separates;
    this.resumesAfter = resumesAfter;
    this.approximateBytes = Buffer.byteLength(plainText);
  }

  static rawData(datumJson: string, conflationKey: string | undefined, deflateFromBytes = Infinity): Frame {
    return new Frame(datumJson, () => rawDataMessage(datumJson), deflateFromBytes, { conflationKey });
  }

  /** A kept value: the newest of its series, or one of its history, which is never replaced. */
  static snapshot(
    datumJson: string,
    conflationKey: string,
    kind: 'newest' | 'history',
    deflateFromBytes = Infinity,
  ): Frame {
    const ownKey = kind === 'newest' ? conflationKey : undefined;
    const traits = { conflationKey: ownKey, supersedes: conflationKey };
    return new Frame(datumJson, () => rawDataMessage(datumJson), deflateFromBytes, traits);
  }

  static alarm(cursor: Cursor, alarmJson: string, deflateFromBytes = Infinity): Frame {
    const text = () => alarmMessage(formatCursor(cursor), alarmJson);
    return new Frame(alarmJson, text, deflateFromBytes, { resumesAfter: cursor.offset - 1 });
  }

  /** A message that says that the alarms up to this offset are done with. */
  static position(text: string, offset: number): Frame {
    return new Frame(text, undefined, Infinity, { resumesAfter: offset });
  }

  /** The same text on every wire format: personal messages and broadcasts. */
  static text(text: string): Frame {
    return new Frame(text, undefined, Infinity, NO_TRAITS);
  }

  /** As {@link text}, and the end of these subscriptions; see {@link separates}. */
  static separator(text: string, ended: readonly KeyAddress[]): Frame {
    // Where nothing ends, whatever waits need not be gone through.
    return ended.length === 0
      ? Frame.text(text)
      : new Frame(text, undefined, Infinity, { separates: belongsToAny(ended) });
  }

  /** Bytes of the message on the plain wire: what it costs an outbox, give or take its envelope. */
  readonly approximateBytes: number;

  bytes(encoding: Encoding): Buffer {
    return (this.built[encoding] ??= this.build(encoding));
  }

  private build(encoding: Encoding): Buffer {
    const isCompressed = encoding > 1 && this.approximateBytes >= this.deflateFromBytes;
    const isPushV1 = (encoding & 1) === WireFormat.pushV1 && this.pushV1Text !== undefined;
    const same = encodingOf(isPushV1 ? WireFormat.pushV1 : WireFormat.plain, isCompressed);
    if (same !== encoding) return this.bytes(same);
    const text = isPushV1 && this.pushV1Text !== undefined ? this.pushV1Text() : this.plainText;
    return isCompressed ? deflatedTextFrame(text) : textFrame(text);
  }
}
