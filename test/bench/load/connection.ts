import { connect, type Socket } from 'node:net';
import { nowMicros } from '../clock.js';
import type { Dialect } from '../contenders.js';
import { BUSINESS_TYPE } from '../datum.js';
import type { AgeRecord } from './age.record.js';
import { clientFrame, upgradeRequest } from './client.frame.js';
import type { DatumReader } from './datum.reader.js';
import { kindOfText, type TextKind } from './dialects.js';

/** Counted over all connections of the process. */
export interface Counters {
  data: number;
  compressedData: number;
  outOfOrder: number;
  bytes: number;
  lost: number;
}

export interface ConnectionOptions {
  readonly port: number;
  readonly path: string;
  readonly localAddress: string;
  readonly dialect: Dialect;
  readonly businessIds: readonly string[];
  readonly isCompressed: boolean;
  readonly checksOrder: boolean;
}

/** What all connections of the process share. */
export interface Recording {
  readonly counters: Counters;
  readonly reader: DatumReader;
  readonly ages: AgeRecord;
  /** After each chunk that was read. */
  onRead(): void;
}

const Opcode = { text: 1, binary: 2, close: 8, ping: 9, pong: 10 } as const;
const RSV1 = 0x40;
const END_OF_HEAD = '\r\n\r\n';

/** One buffer for all: a chunk is taken apart before the next is read. */
const chunk = Buffer.allocUnsafeSlow(64 * 1024);
const NOTHING = Buffer.alloc(0);

/**
 * A WebSocket connection that does as little as a client can: it walks along the frames' headers, answers what has to
 * be answered, and looks into a datum only where it is told to.
 */
export class Connection {
  /** The number of the newest datum of each series; empty where it is not kept. */
  readonly newest: Int32Array;
  /** The number of the last datum; -1 before the first, and where the order is not checked. */
  lastNumber = -1;
  /** The first compressed datum. */
  compressedSample: Buffer | undefined;

  private readonly socket: Socket;
  private readonly kindOf: (bytes: Buffer, start: number) => TextKind;
  private phase: 'upgrade' | 'greeting' | 'open' | 'closed' = 'upgrade';
  private rest = NOTHING;
  private isSubscribed = false;
  private becomeReady: () => void = () => {};
  private fail: (cause: Error) => void = () => {};

  /** Resolves when data can come. */
  readonly ready: Promise<void>;

  constructor(
    private readonly options: ConnectionOptions,
    private readonly recording: Recording,
    private readonly isSampled: boolean,
    series: number,
  ) {
    this.newest = new Int32Array(series).fill(-1);
    this.kindOf = kindOfText[options.dialect];
    this.ready = new Promise((resolve, reject) => {
      this.becomeReady = resolve;
      this.fail = reject;
    });
    this.socket = connect({
      host: '127.0.0.1',
      port: options.port,
      localAddress: options.localAddress,
      onread: { buffer: chunk, callback: (length) => this.read(length) },
    });
    this.socket.setNoDelay(true);
    this.socket.on('connect', () => this.requestUpgrade());
    this.socket.on('error', (cause) => this.end(cause));
    this.socket.on('close', () => this.end(new Error('the server closed the connection')));
  }

  disconnect(): void {
    this.phase = 'closed';
    this.socket.destroy();
  }

  private requestUpgrade(): void {
    const { path, port, dialect, isCompressed } = this.options;
    const headers = [
      ...(dialect === 'push.v1' ? ['Sec-WebSocket-Protocol: push.v1'] : []),
      ...(isCompressed
        ? ['Sec-WebSocket-Extensions: permessage-deflate; server_no_context_takeover; client_no_context_takeover']
        : []),
    ];
    this.socket.write(upgradeRequest(path, port, headers));
  }

  private end(cause: Error): void {
    if (this.phase === 'closed') return;
    if (this.phase === 'open') this.recording.counters.lost += 1;
    this.phase = 'closed';
    this.fail(cause);
    this.socket.destroy();
  }

  private read(length: number): boolean {
    this.recording.counters.bytes += length;
    let bytes = chunk;
    let end = length;
    if (this.rest.length > 0) {
      bytes = Buffer.concat([this.rest, chunk.subarray(0, length)]);
      end = bytes.length;
    }
    const taken = this.phase === 'upgrade' ? this.takeResponse(bytes, end) : this.takeFrames(bytes, 0, end);
    this.rest = taken === end ? NOTHING : Buffer.from(bytes.subarray(taken, end));
    this.recording.onRead();
    return true;
  }

  private takeResponse(bytes: Buffer, end: number): number {
    const response = bytes.toString('latin1', 0, end);
    const headEnd = response.indexOf(END_OF_HEAD);
    if (headEnd === -1) return 0;
    if (!response.startsWith('HTTP/1.1 101')) {
      this.end(new Error(`the upgrade was refused: ${response}`));
      return end;
    }
    const hasGreeting = this.options.dialect !== 'plain' || this.options.businessIds.length > 0;
    this.phase = hasGreeting ? 'greeting' : 'open';
    if (!hasGreeting) this.becomeReady();
    else if (this.options.dialect === 'plain') this.subscribe();
    return this.takeFrames(bytes, headEnd + END_OF_HEAD.length, end);
  }

  private takeFrames(bytes: Buffer, begin: number, end: number): number {
    let at = begin;
    while (end - at >= 2) {
      let length = (bytes[at + 1] ?? 0) & 0x7f;
      let start = at + 2;
      if (length === 126) {
        if (end - at < 4) break;
        length = ((bytes[at + 2] ?? 0) << 8) | (bytes[at + 3] ?? 0);
        start = at + 4;
      } else if (length === 127) {
        if (end - at < 10) break;
        length = bytes.readUIntBE(at + 4, 6);
        start = at + 10;
      }
      if (end - start < length) break;
      this.takeFrame(bytes[at] ?? 0, bytes, start, start + length);
      at = start + length;
    }
    return at;
  }

  private takeFrame(first: number, bytes: Buffer, start: number, end: number): void {
    switch (first & 0x0f) {
      case Opcode.text:
        if ((first & RSV1) === 0) this.takeText(bytes, start, end);
        else this.takeCompressed(bytes, start, end);
        return;
      case Opcode.ping:
        this.socket.write(clientFrame(Opcode.pong, bytes.subarray(start, end)));
        return;
      case Opcode.close:
        this.end(new Error(`closed: ${bytes.toString('utf8', start + 2, end)}`));
        return;
      case Opcode.pong:
      case Opcode.binary:
        return;
      default:
        throw new Error(`a frame with the first byte ${first} is not one that these servers send`);
    }
  }

  private takeText(bytes: Buffer, start: number, end: number): void {
    if (this.phase === 'greeting') {
      this.takeGreeting(bytes, start);
      return;
    }
    const kind = this.kindOf(bytes, start);
    if (kind === 'datum') this.takeDatum(bytes, start, end);
    // A mark is returned as it came.
    else if (kind === 'mark') this.socket.write(clientFrame(Opcode.text, bytes.subarray(start, end)));
    else if (kind === 'ping') this.sendText('3');
  }

  private takeDatum(bytes: Buffer, start: number, end: number): void {
    const { counters, reader, ages } = this.recording;
    counters.data += 1;
    if (this.isSampled) ages.add(reader.atMicros(bytes, start, end), nowMicros());
    if (this.options.checksOrder) this.checkOrder(reader.n(bytes, start, end));
    if (this.newest.length > 0) this.newest[reader.series(bytes, start, end)] = reader.n(bytes, start, end);
  }

  private checkOrder(n: number): void {
    if (this.lastNumber !== -1 && n !== this.lastNumber + 1) this.recording.counters.outOfOrder += 1;
    this.lastNumber = n;
  }

  private takeCompressed(bytes: Buffer, start: number, end: number): void {
    this.recording.counters.data += 1;
    this.recording.counters.compressedData += 1;
    this.compressedSample ??= Buffer.from(bytes.subarray(start, end));
  }

  private takeGreeting(bytes: Buffer, start: number): void {
    if (this.kindOf(bytes, start) === 'open') {
      this.sendText('40');
    } else if (this.options.businessIds.length > 0 && !this.isSubscribed) {
      this.subscribe();
    } else {
      this.phase = 'open';
      this.becomeReady();
    }
  }

  private subscribe(): void {
    this.isSubscribed = true;
    const keys = this.options.businessIds.map((businessId) => ({ businessType: BUSINESS_TYPE, businessId }));
    this.sendText(JSON.stringify({ event: 'subscribe', data: { keys } }));
  }

  private sendText(text: string): void {
    this.socket.write(clientFrame(Opcode.text, Buffer.from(text)));
  }
}
