/** A frame of a client, as wrong as it is asked to be (RFC 6455 section 5.2). */
export interface RawFrame {
  opcode: number;
  payload?: Buffer | string;
  /** Default true. */
  isFinal?: boolean;
  /** The reserved bits, 4 is RSV1. Default 0. */
  reserved?: number;
  /** Default true. */
  isMasked?: boolean;
  /** Written in the place of the payload's length. */
  claimedLength?: bigint;
}

export const CONTINUATION = 0;
export const TEXT = 1;
export const BINARY = 2;
export const CLOSE = 8;
export const PING = 9;
export const PONG = 10;
export const RSV1 = 4;

const MASK = Buffer.from([0x12, 0x34, 0x56, 0x78]);

export function rawFrame({
  opcode,
  payload = '',
  isFinal = true,
  reserved = 0,
  isMasked = true,
  claimedLength,
}: RawFrame): Buffer {
  const bytes = Buffer.from(payload as string);
  const first = (isFinal ? 0x80 : 0) | (reserved << 4) | opcode;
  const header = Buffer.concat([Buffer.from([first]), lengthBytes(claimedLength ?? BigInt(bytes.length), isMasked)]);
  return isMasked ? Buffer.concat([header, MASK, masked(bytes)]) : Buffer.concat([header, bytes]);
}

export function closePayload(code: number, reason: Buffer | string = ''): Buffer {
  return Buffer.concat([Buffer.from([(code >> 8) & 0xff, code & 0xff]), Buffer.from(reason as string)]);
}

function lengthBytes(length: bigint, isMasked: boolean): Buffer {
  const maskBit = isMasked ? 0x80 : 0;
  if (length < 126n) return Buffer.from([maskBit | Number(length)]);
  if (length < 65_536n) return Buffer.from([maskBit | 126, Number(length >> 8n), Number(length & 0xffn)]);
  const bytes = Buffer.alloc(9);
  bytes[0] = maskBit | 127;
  bytes.writeBigUInt64BE(BigInt.asUintN(64, length), 1);
  return bytes;
}

function masked(bytes: Buffer): Buffer {
  return Buffer.from(bytes.map((byte, i) => byte ^ (MASK[i % 4] ?? 0)));
}
