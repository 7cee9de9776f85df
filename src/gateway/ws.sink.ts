import { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import type { WebSocket } from 'ws';
import { splitFrames } from '../fan-out/frame.js';
import type { Sink } from '../fan-out/sink.js';

/** Compared as a number, since an application may hold another copy of ws. */
const OPEN = 1;

/** Writes to the upgrade's own socket where that is one of Node's, TLS included, else through ws. */
export function createSink(webSocket: WebSocket, socket: Duplex): Sink {
  return socket instanceof Socket ? new WsSink(webSocket, socket) : new WsSendSink(webSocket);
}

abstract class WebSocketSink implements Sink {
  constructor(protected readonly webSocket: WebSocket) {}

  abstract readonly bufferedBytes: number;

  write(frames: Buffer): void {
    if (this.webSocket.readyState === OPEN) this.writeFrames(frames);
  }

  writeAll(frames: readonly Buffer[]): void {
    if (this.webSocket.readyState === OPEN) this.writeAllFrames(frames);
  }

  close(code: number, reason: string): void {
    this.webSocket.close(code, reason);
  }

  terminate(): void {
    this.webSocket.terminate();
  }

  protected abstract writeFrames(frames: Buffer): void;

  protected writeAllFrames(frames: readonly Buffer[]): void {
    for (const each of frames) this.writeFrames(each);
  }
}

/**
 * The socket of one connection. Our frames are whole, and ws writes whole frames too (pong, close), so both may write
 * to the same socket. Behind a close frame nothing may follow (RFC 6455 section 5.5.1), hence the look at the state
 * before every write.
 */
export class WsSink extends WebSocketSink {
  constructor(
    webSocket: WebSocket,
    private readonly socket: Duplex,
  ) {
    super(webSocket);
  }

  get bufferedBytes(): number {
    return this.socket.writableLength;
  }

  protected override writeFrames(frames: Buffer): void {
    this.socket.write(frames);
  }

  protected override writeAllFrames(frames: readonly Buffer[]): void {
    this.socket.cork();
    super.writeAllFrames(frames);
    this.socket.uncork();
  }
}

/** For an HTTP server that brings sockets of its own: the frames are taken apart, and ws frames them again. */
export class WsSendSink extends WebSocketSink {
  get bufferedBytes(): number {
    return this.webSocket.bufferedAmount;
  }

  protected override writeFrames(frames: Buffer): void {
    for (const { isText, payload } of splitFrames(frames)) {
      if (isText) this.webSocket.send(payload, { binary: false, compress: false });
      else this.webSocket.ping(payload);
    }
  }
}
