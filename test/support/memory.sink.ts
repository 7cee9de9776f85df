import type { Sink } from '../../src/fan-out/sink.js';

export const Opcode = { text: 1, binary: 2, close: 8, ping: 9, pong: 10 } as const;

/** One whole frame, as it arrived. */
export interface ParsedFrame {
  readonly opcode: number;
  readonly isCompressed: boolean;
  readonly payload: Buffer;
}

export interface ParseRules {
  /** Whether permessage-deflate was negotiated, so that RSV1 may be set. */
  readonly allowsCompression?: boolean;
}

const OPCODES: ReadonlySet<number> = new Set(Object.values(Opcode));
const utf8 = new TextDecoder('utf-8', { fatal: true });

/**
 * Reads bytes that a server sent as whole frames, strictly by RFC 6455 section 5.2: one frame a message, no mask, the
 * shortest length that fits, control frames of at most 125 bytes, valid UTF-8 in texts, nothing cut off at the end.
 */
export function parseServerFrames(bytes: Buffer, rules: ParseRules = {}): ParsedFrame[] {
  const frames: ParsedFrame[] = [];
  let at = 0;
  while (at < bytes.length) {
    const { frame, end } = parseFrame(bytes, at, rules);
    frames.push(frame);
    at = end;
  }
  return frames;
}

function parseFrame(bytes: Buffer, start: number, rules: ParseRules): { frame: ParsedFrame; end: number } {
  const first = byteAt(bytes, start);
  const second = byteAt(bytes, start + 1);
  const opcode = first & 0x0f;
  const isCompressed = (first & 0x40) !== 0;
  demand((first & 0x80) !== 0, start, 'FIN is not set');
  demand((first & 0x30) === 0, start, 'RSV2 or RSV3 is set');
  demand(OPCODES.has(opcode), start, `opcode ${opcode} is not one of a whole frame`);
  demand((second & 0x80) === 0, start, 'a server must not mask');
  const isControl = opcode >= Opcode.close;
  demand(!isCompressed || (rules.allowsCompression === true && !isControl), start, 'RSV1 is set');
  const { length, headerBytes } = parseLength(bytes, start, second & 0x7f);
  demand(!isControl || length <= 125, start, 'a control frame is longer than 125 bytes');
  const payloadStart = start + headerBytes;
  const end = payloadStart + length;
  demand(end <= bytes.length, start, `the frame is cut off: ${end - bytes.length} bytes are missing`);
  const payload = bytes.subarray(payloadStart, end);
  if (opcode === Opcode.text && !isCompressed) utf8.decode(payload);
  return { frame: { opcode, isCompressed, payload }, end };
}

function parseLength(bytes: Buffer, start: number, short: number): { length: number; headerBytes: number } {
  if (short < 126) return { length: short, headerBytes: 2 };
  if (short === 126) {
    demand(start + 4 <= bytes.length, start, 'the length is cut off');
    const length = bytes.readUInt16BE(start + 2);
    demand(length >= 126, start, 'the length would fit into 7 bits');
    return { length, headerBytes: 4 };
  }
  demand(start + 10 <= bytes.length, start, 'the length is cut off');
  const length = Number(bytes.readBigUInt64BE(start + 2));
  demand(length >= 65_536, start, 'the length would fit into 16 bits');
  return { length, headerBytes: 10 };
}

function byteAt(bytes: Buffer, index: number): number {
  const byte = bytes[index];
  if (byte === undefined) throw new Error(`the stream ends at byte ${index}, within a frame's header`);
  return byte;
}

function demand(isMet: boolean, at: number, fault: string): void {
  if (!isMet) throw new Error(`not a valid frame at byte ${at}: ${fault}`);
}

/** The numbers of the marks among these frames, in order: of a `mark` message, and of a mark's ping. */
export function marksOf(frames: readonly ParsedFrame[]): { by: 'message' | 'pong'; n: number }[] {
  const marks: { by: 'message' | 'pong'; n: number }[] = [];
  for (const { opcode, payload } of frames) {
    const text = payload.toString();
    const message = opcode === Opcode.text ? /^\{"event":"mark","data":\{"n":(\d+)\}\}$/.exec(text) : null;
    const ping = opcode === Opcode.ping ? /^m(\d+)$/.exec(text) : null;
    if (message !== null) marks.push({ by: 'message', n: Number(message[1]) });
    if (ping !== null) marks.push({ by: 'pong', n: Number(ping[1]) });
  }
  return marks;
}

/** A sink that keeps what it is given. Each write has to hold whole frames, so each is parsed for itself. */
export class MemorySink implements Sink {
  readonly writes: Buffer[] = [];
  bufferedBytes = 0;
  closed: { code: number; reason: string } | undefined;
  isTerminated = false;
  /** A client has to know for itself that it is closed. */
  writesAfterClose = 0;
  private takenWrites = 0;

  constructor(private readonly rules: ParseRules = {}) {}

  writeAll(frames: readonly Buffer[]): void {
    this.write(Buffer.concat(frames));
  }

  write(frames: Buffer): void {
    if (this.closed !== undefined || this.isTerminated) this.writesAfterClose += 1;
    this.writes.push(frames);
  }

  close(code: number, reason: string): void {
    this.closed ??= { code, reason };
  }

  terminate(): void {
    this.isTerminated = true;
  }

  get writtenBytes(): number {
    return this.writes.reduce((sum, { length }) => sum + length, 0);
  }

  frames(): ParsedFrame[] {
    return this.writes.flatMap((write) => parseServerFrames(write, this.rules));
  }

  /** The texts of all messages but marks, in order. */
  texts(): string[] {
    return this.frames()
      .filter(({ opcode, payload }) => opcode === Opcode.text && !payload.toString().startsWith('{"event":"mark"'))
      .map(({ payload }) => payload.toString());
  }

  marks(): { by: 'message' | 'pong'; n: number }[] {
    return marksOf(this.frames());
  }

  /** The frames of each write since the last call. */
  takeWrites(): ParsedFrame[][] {
    const taken = this.writes.slice(this.takenWrites).map((write) => parseServerFrames(write, this.rules));
    this.takenWrites = this.writes.length;
    return taken;
  }
}
