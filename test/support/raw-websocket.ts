import { once } from 'node:events';
import type { Socket } from 'node:net';
import { within } from './deadline.js';
import { CLOSE, PING, PONG, rawFrame, TEXT } from './raw-frames.js';
import { openSocket, type RawRequest, upgradeBytes } from './raw-upgrade.js';

export interface ServerFrame {
  readonly opcode: number;
  readonly payload: Buffer;
  readonly isDeflated: boolean;
}

/** The whole, unmasked frames at the beginning of these bytes, and what is left. */
export function takeFrames(bytes: Buffer, allowsCompression = false): { frames: ServerFrame[]; rest: Buffer } {
  const frames: ServerFrame[] = [];
  let rest = bytes;
  for (;;) {
    if (rest.length < 2) return { frames, rest };
    const [first = 0, second = 0] = rest;
    const isOurs = (first & 0x80) !== 0 && (second & 0x80) === 0 && (first & (allowsCompression ? 0x30 : 0x70)) === 0;
    if (!isOurs) throw new Error(`the server sent a frame that begins with ${rest.toString('hex', 0, 2)}`);
    const headerBytes = second < 126 ? 2 : second === 126 ? 4 : 10;
    if (rest.length < headerBytes) return { frames, rest };
    const length = headerBytes === 2 ? second : rest.readUIntBE(headerBytes === 4 ? 2 : 4, headerBytes === 4 ? 2 : 6);
    if (rest.length < headerBytes + length) return { frames, rest };
    frames.push({
      opcode: first & 0x0f,
      payload: rest.subarray(headerBytes, headerBytes + length),
      isDeflated: (first & 0x40) !== 0,
    });
    rest = rest.subarray(headerBytes + length);
  }
}

/** A WebSocket connection whose client keeps to no rule: it answers neither pings nor a close. */
export class RawWebSocket {
  readonly texts: string[] = [];
  readonly pongs: string[] = [];
  /** The code and reason of the server's close frame, or undefined where the socket ended without. */
  readonly ended: Promise<{ code: number; reason: string } | undefined>;
  private rest: Buffer = Buffer.alloc(0);
  private isUpgraded = false;
  private readonly changed: (() => void)[] = [];

  private constructor(readonly socket: Socket) {
    this.ended = new Promise((resolve, reject) => {
      socket.on('data', (chunk: Buffer) => {
        try {
          for (const { opcode, payload } of this.take(chunk)) {
            if (opcode === TEXT) this.texts.push(payload.toString());
            else if (opcode === PONG) this.pongs.push(payload.toString('latin1'));
            else if (opcode === CLOSE)
              resolve({
                code: payload.length < 2 ? 1005 : payload.readUInt16BE(),
                reason: payload.toString('utf8', 2),
              });
          }
        } catch (cause) {
          reject(cause instanceof Error ? cause : new Error(String(cause)));
        }
        this.wake();
      });
      socket.once('close', () => {
        resolve(undefined);
        this.wake();
      });
    });
    this.ended.catch(() => {});
  }

  static async connect(port: number, request: RawRequest): Promise<RawWebSocket> {
    const client = new RawWebSocket(await openSocket(port));
    client.socket.write(upgradeBytes(port, request));
    await client.until(() => client.isUpgraded, 'the upgrade');
    return client;
  }

  write(...chunks: Buffer[]): void {
    for (const chunk of chunks) this.socket.write(chunk);
  }

  async until(condition: () => boolean, what: string): Promise<void> {
    const look = async (): Promise<void> => {
      while (!condition()) {
        if (this.socket.destroyed) throw new Error(`the connection ended before: ${what}`);
        await new Promise<void>((resolve) => this.changed.push(resolve));
      }
    };
    await within(look(), what);
  }

  /** Whether everything up to here was read and the connection lives. */
  async isAlive(probe = 'alive?'): Promise<boolean> {
    this.write(rawFrame({ opcode: PING, payload: probe }));
    const pong = this.until(() => this.pongs.includes(probe), 'a pong').then(() => true);
    return Promise.race([pong, this.ended.then(() => false)]);
  }

  /** How the server ends the connection. */
  async end(deadlineMs?: number): Promise<{ code: number; reason: string } | undefined> {
    return within(this.ended, 'the server ends the connection', deadlineMs);
  }

  async cut(): Promise<void> {
    if (this.socket.closed) return;
    const closed = once(this.socket, 'close');
    this.socket.destroy();
    await within(closed, 'close');
  }

  private wake(): void {
    for (const wake of this.changed.splice(0)) wake();
  }

  private take(chunk: Buffer): ServerFrame[] {
    this.rest = Buffer.concat([this.rest, chunk]);
    if (!this.isUpgraded) {
      const headEnd = this.rest.indexOf('\r\n\r\n');
      if (headEnd < 0) return [];
      const head = this.rest.toString('latin1', 0, headEnd);
      if (!head.startsWith('HTTP/1.1 101 ')) throw new Error(`no upgrade: ${head}`);
      this.isUpgraded = true;
      this.rest = this.rest.subarray(headEnd + 4);
    }
    const { frames, rest } = takeFrames(this.rest);
    this.rest = rest;
    return frames;
  }
}
