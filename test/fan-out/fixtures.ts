import type { BacklogPolicy } from '../../src/fan-out/backlog.js';
import { Client, type ClientIdentity, type ClientOptions } from '../../src/fan-out/client.js';
import { ConflatingBacklog, type ConflationOptions } from '../../src/fan-out/conflating.backlog.js';
import { FlushLane } from '../../src/fan-out/flush-queue.js';
import { Frame, WireFormat } from '../../src/fan-out/frame.js';
import { conflationKey } from '../../src/fan-out/key.js';
import { WriteTotals } from '../../src/fan-out/write-totals.js';
import { MemorySink } from '../support/memory.sink.js';

let clientCount = 0;

export function identityOf(given: Partial<ClientIdentity> = {}): ClientIdentity {
  clientCount += 1;
  const clientId = given.clientId ?? `client-${clientCount}`;
  return {
    clientId,
    key: `websocket:rowdata:dev:1:u:${clientId}`,
    userName: 'u',
    remoteAddress: '127.0.0.1',
    format: WireFormat.plain,
    ...given,
  };
}

export const DEFAULT_CONFLATION: ConflationOptions = {
  delivery: 'conflate',
  conflateAfterMs: 100,
  maxOutboxBytes: 64 * 1024,
};

export function conflatingPolicy(
  options: Partial<ConflationOptions> = {},
  totals: WriteTotals = new WriteTotals(),
): BacklogPolicy {
  return { create: (format) => new ConflatingBacklog(format, { ...DEFAULT_CONFLATION, ...options }, totals) };
}

export function optionsOf(given: Partial<ClientOptions & ConflationOptions> = {}): ClientOptions {
  const { delivery = 'conflate', conflateAfterMs = 100, maxOutboxBytes = 64 * 1024, ...rest } = given;
  const totals = new WriteTotals();
  return {
    lane: new FlushLane(
      () => {},
      0,
      () => 1,
    ),
    backlogPolicy: conflatingPolicy({ delivery, conflateAfterMs, maxOutboxBytes }, totals),
    mergesFlushes: delivery === 'merge',
    inFlightBytes: 4096,
    maxOutboxBytes,
    totals,
    ...rest,
  };
}

/** A client on a sink in memory, flushed by hand with a clock of its own. */
export class TestClient {
  readonly sink = new MemorySink();
  readonly client: Client;
  readonly options: ClientOptions;
  flushNumber = 0;
  nowMs = 0;

  constructor(given: Partial<ClientOptions & ConflationOptions> = {}, format: WireFormat = WireFormat.plain) {
    this.options = optionsOf(given);
    this.client = new Client(identityOf({ format }), this.sink, this.options);
  }

  /** Flushes as a lane does: only where the client is dirty. */
  flush(afterMs = 0): void {
    this.nowMs += afterMs;
    this.flushNumber += 1;
    this.options.lane.run(this.flushNumber, this.nowMs, Infinity);
  }

  offer(...frames: Frame[]): void {
    for (const frame of frames) this.client.offer(frame);
  }

  /** Returns every mark that has arrived so far, as a page does that reads on. */
  returnMarks(): void {
    for (const { by, n } of this.sink.marks()) this.client.confirmMark(n, by, this.nowMs);
  }
}

/** A raw datum of `bytes` bytes of JSON, at least 20. */
export function datumFrame(series: string, n: number, bytes = 20): Frame {
  const head = `{"s":"${series}","n":${n},"p":"`;
  return Frame.rawData(
    `${head}${'x'.repeat(Math.max(0, bytes - head.length - 2))}"}`,
    conflationKey('dev', '1', series),
  );
}

/** `series` and `n` of a {@link datumFrame} in each of these texts. */
export function valuesIn(texts: readonly string[]): string[] {
  return texts.map((text) => {
    const message = JSON.parse(text) as { s?: string; n?: number; event?: string; data?: { s: string; n: number } };
    const datum = message.event === 'rawData' ? message.data : message;
    return datum?.s === undefined ? (message.event ?? 'unknown') : `${datum.s}${datum.n}`;
  });
}
