import type { Duplex } from 'node:stream';
import type { WebSocket } from 'ws';
import type { Sink } from '../fan-out/sink.js';

/** Compared as a number, since an application may hold another copy of ws. */
const OPEN = 1;

/**
 * The socket of one connection. Our frames are whole and uncompressed by ws, and ws writes whole frames too (pong,
 * close), so both may write to the same socket. Behind a close frame nothing may follow (RFC 6455 section 5.5.1), hence
 * the look at the state before every write.
 */
export class WsSink implements Sink {
  constructor(
    private readonly webSocket: WebSocket,
    private readonly socket: Duplex,
  ) {}

  get bufferedBytes(): number {
    return this.socket.writableLength;
  }

  write(frames: Buffer): void {
    if (this.webSocket.readyState === OPEN) this.socket.write(frames);
  }

  close(code: number, reason: string): void {
    this.webSocket.close(code, reason);
  }

  terminate(): void {
    this.webSocket.terminate();
  }
}
