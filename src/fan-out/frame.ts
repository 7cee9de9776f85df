import { alarmMessage, rawDataMessage } from '../protocol/messages.js';

/** The wire formats a client can have asked for; also the index of a frame's encodings. */
export const WireFormat = { plain: 0, pushV1: 1 } as const;
export type WireFormat = (typeof WireFormat)[keyof typeof WireFormat];

// RFC 6455 section 5.2: FIN and the opcode; a server never masks, so the second byte is the length alone.
const FIN_TEXT = 0x81;
const FIN_PING = 0x89;
const LENGTH_16_BIT = 126;
const LENGTH_64_BIT = 127;

/** A whole text frame, unmasked, as a server sends it. One allocation. */
export function textFrame(text: string): Buffer {
  const length = Buffer.byteLength(text);
  const headerBytes = length < LENGTH_16_BIT ? 2 : length < 65_536 ? 4 : 10;
  const bytes = Buffer.allocUnsafe(headerBytes + length);
  bytes[0] = FIN_TEXT;
  if (headerBytes === 2) {
    bytes[1] = length;
  } else if (headerBytes === 4) {
    bytes[1] = LENGTH_16_BIT;
    bytes.writeUInt16BE(length, 2);
  } else {
    bytes[1] = LENGTH_64_BIT;
    bytes.writeUInt32BE(Math.floor(length / 0x1_0000_0000), 2);
    bytes.writeUInt32BE(length >>> 0, 6);
  }
  bytes.write(text, headerBytes, 'utf8');
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

/**
 * One message on its way to clients. Its bytes are built once for each wire format that some client needs and are
 * shared by all of them; nobody may write to them.
 */
export class Frame {
  private plain: Buffer | undefined;
  private pushV1: Buffer | undefined;

  private constructor(
    private readonly plainText: string,
    private readonly pushV1Text: (() => string) | undefined,
    /** Frames of one key replace each other in a conflating outbox; undefined: this frame is never replaced. */
    readonly conflationKey: string | undefined,
  ) {}

  static rawData(datumJson: string, conflationKey: string): Frame {
    return new Frame(datumJson, () => rawDataMessage(datumJson), conflationKey);
  }

  static alarm(cursor: string, alarmJson: string): Frame {
    return new Frame(alarmJson, () => alarmMessage(cursor, alarmJson), undefined);
  }

  /** The same text on every wire format: personal messages and broadcasts. */
  static text(text: string): Frame {
    return new Frame(text, undefined, undefined);
  }

  /** Length of the JSON in UTF-16 units: an estimate of the bytes that costs nothing. */
  get approximateBytes(): number {
    return this.plainText.length;
  }

  bytes(format: WireFormat): Buffer {
    if (format === WireFormat.plain || this.pushV1Text === undefined) {
      return (this.plain ??= textFrame(this.plainText));
    }
    return (this.pushV1 ??= textFrame(this.pushV1Text()));
  }
}
