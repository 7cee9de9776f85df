import type { CloseCode } from '../protocol/close-codes.js';
import { serverMessage } from '../protocol/messages.js';
import type { Backlog, BacklogPolicy } from './backlog.js';
import type { Batch } from './batch.js';
import type { FlushLane, Flushable } from './flush-queue.js';
import { type Encoding, encodingOf, Frame, WireFormat } from './frame.js';
import { InFlightWindow } from './in-flight-window.js';
import { MarkKind, markBytes } from './mark.js';
import type { Sink } from './sink.js';
import type { WriteTotals } from './write-totals.js';

/**
 * `draining`: takes nothing new, and closes once what it was offered is written. `closing`: a close frame went out;
 * nothing is written behind it.
 */
export type ClientState = 'open' | 'draining' | 'closing' | 'closed';

/** What all clients of one gateway share. */
export interface ClientOptions {
  readonly lane: FlushLane;
  readonly backlogPolicy: BacklogPolicy;
  /** Conflate within every flush, also without pressure. */
  readonly mergesFlushes: boolean;
  /** The in-flight window. At most `maxOutboxBytes`, so that it also bounds what Node buffers for the socket. */
  readonly inFlightBytes: number;
  readonly maxOutboxBytes: number;
  readonly totals: WriteTotals;
}

export interface ClientIdentity {
  readonly clientId: string;
  readonly key: string;
  readonly userName: string;
  readonly remoteAddress: string;
  readonly format: WireFormat;
  /** Whether permessage-deflate was negotiated. Default false. */
  readonly isCompressed?: boolean;
}

/**
 * One connection and its outbox. A frame goes offer → batch (shared with all who were offered the same) → flush → sink.
 * What a flush cannot write, because the client has not confirmed what it was sent before, waits in the backlog, and
 * the backlog's policy bounds it.
 */
export class Client implements Flushable {
  readonly connectedAtMs = Date.now();
  /** When the last pong came, the last heartbeat ping went, the last flush wrote; on the clock of `performance.now()`. */
  lastPongAtMs = performance.now();
  lastPingAtMs = this.lastPongAtMs;
  lastWriteAtMs = this.lastPongAtMs;
  /** Number of the last push that matched this client, so that overlapping subscriptions hear once. */
  lastPushNumber = 0;

  private currentState: ClientState = 'open';
  private drainCode: Pick<CloseCode, 'code' | 'reason'> | undefined;
  private reportedConflations = 0;
  private isDirty = false;
  private pending: Batch | undefined;
  private backlog: Backlog | undefined;
  private readonly encoding: Encoding;
  private readonly window: InFlightWindow;
  private markKind: MarkKind;
  /** Marks that went out in both ways come back twice; how many second answers may still come. */
  private secondAnswers = 0;

  constructor(
    readonly identity: ClientIdentity,
    private readonly sink: Sink,
    private readonly options: ClientOptions,
  ) {
    this.encoding = encodingOf(identity.format, identity.isCompressed === true);
    this.window = new InFlightWindow(options.inFlightBytes);
    this.markKind = identity.format === WireFormat.pushV1 ? MarkKind.both : MarkKind.ping;
  }

  get clientId(): string {
    return this.identity.clientId;
  }

  get state(): ClientState {
    return this.currentState;
  }

  get inFlightBytes(): number {
    return this.window.inFlightBytes;
  }

  /** Bytes that wait, not counting what is in flight. */
  get outboxBytes(): number {
    return (this.backlog?.byteLength ?? 0) + (this.pending?.approximateBytes ?? 0);
  }

  /** Raw data replaced by newer ones because the client was slow. */
  get conflatedTotal(): number {
    return this.reportedConflations + (this.backlog?.conflatedCount ?? 0);
  }

  /** Alarms of the log that the client has not been written yet. */
  get behindBy(): number {
    return 0;
  }

  /** Takes a frame for the next flush. */
  offer(frame: Frame): void {
    if (this.currentState !== 'open') return;
    const pending = (this.pending ?? this.options.lane.root).with(frame);
    this.pending = pending;
    this.markDirty();
    const backlogBytes = this.backlog?.byteLength ?? 0;
    if (pending.approximateBytes + backlogBytes > this.options.maxOutboxBytes) this.options.lane.flushNow(this);
  }

  /** One write at most, or none while the in-flight window is full. */
  flush(flushNumber: number, nowMs: number): void {
    this.isDirty = false;
    if (!this.isWritable) return;
    if (this.backlog === undefined && this.writePending(flushNumber, nowMs)) return;
    this.flushBacklog(this.putBack(nowMs), flushNumber, nowMs);
  }

  /**
   * The client returned a mark, in a message of its own or in the pong of the mark's ping. False: it was not asked for, and
   * nothing comes of it.
   */
  confirmMark(flushNumber: number, by: 'message' | 'pong', nowMs: number): boolean {
    if (by === 'message') this.markKind = MarkKind.message;
    // Once the page answers for itself, a pong says nothing: some browsers send it before the page has read anything.
    else if (this.markKind === MarkKind.message) return this.takeSecondAnswer();
    if (!this.window.confirm(flushNumber, nowMs)) return this.takeSecondAnswer();
    this.wake();
    return true;
  }

  /** Flushes again where something waits; also called now and then, lest a client stay stuck on a full socket. */
  wake(): void {
    if (this.backlog !== undefined && this.isWritable) this.markDirty();
  }

  /** Writes a control frame at once, ahead of what waits. */
  writeControl(frame: Buffer): void {
    if (this.isWritable) this.sink.write(frame);
  }

  /** Starts the closing handshake. What was offered before and fits the window still goes out first. */
  close({ code, reason }: Pick<CloseCode, 'code' | 'reason'>): void {
    if (!this.isWritable) return;
    this.options.lane.flushNow(this);
    if (this.isWritable) this.startClosing(code, reason);
  }

  /** As {@link close}, once everything that was offered before is written. */
  drain(closeCode: Pick<CloseCode, 'code' | 'reason'>): void {
    if (this.currentState !== 'open') return;
    this.currentState = 'draining';
    this.drainCode = closeCode;
    this.options.lane.flushNow(this);
    this.closeWhenDrained();
  }

  terminate(): void {
    if (this.isWritable) this.currentState = 'closing';
    this.sink.terminate();
  }

  /** The socket is gone. */
  markClosed(): void {
    this.currentState = 'closed';
    this.pending = this.backlog = undefined;
  }

  /** From now on everything goes through the backlog, until that is empty. */
  protected useBacklog(): void {
    this.backlog ??= this.options.backlogPolicy.create(this.encoding);
    this.markDirty();
  }

  private get isWritable(): boolean {
    return this.currentState === 'open' || this.currentState === 'draining';
  }

  private closeWhenDrained(): void {
    if (this.currentState !== 'draining' || this.backlog !== undefined || this.drainCode === undefined) return;
    this.startClosing(this.drainCode.code, this.drainCode.reason);
  }

  /** The line that the client waits in for its next flush. */
  protected get lane(): FlushLane {
    return this.options.lane;
  }

  private markDirty(): void {
    if (this.isDirty) return;
    this.isDirty = true;
    this.lane.mark(this);
  }

  private startClosing(code: number, reason: string): void {
    this.currentState = 'closing';
    this.pending = this.backlog = undefined;
    this.sink.close(code, reason);
  }

  /** The common case: the shared buffer of the batch, in one write. False where it does not fit the window. */
  private writePending(flushNumber: number, nowMs: number): boolean {
    if (this.pending === undefined) return true;
    if (!this.canWrite()) return false;
    const { encoding } = this;
    const batch = this.options.mergesFlushes ? this.pending.conflated() : this.pending;
    const conflated = this.pending.count - batch.count;
    const bytes = batch.joined(encoding);
    if (bytes.length > this.window.openBytes && batch.count > 1) return false;
    this.pending = undefined;
    this.options.totals.conflated += conflated;
    if (this.window.isMarkDue(bytes.length)) {
      this.write(batch.joinedWithMark(encoding, this.markKind, flushNumber), batch.count, nowMs);
      this.marked(flushNumber, nowMs);
    } else {
      this.write(bytes, batch.count, nowMs);
    }
    return true;
  }

  /** Moves what is pending to the backlog. */
  private putBack(nowMs: number): Backlog {
    const backlog = (this.backlog ??= this.options.backlogPolicy.create(this.encoding));
    if (this.pending !== undefined) {
      for (const frame of this.pending.frames()) backlog.add(frame, nowMs);
      this.pending = undefined;
    }
    return backlog;
  }

  private flushBacklog(backlog: Backlog, flushNumber: number, nowMs: number): void {
    if (!this.survives(backlog.age(nowMs))) return;
    if (!backlog.isEmpty && this.canWrite()) this.writeBacklog(backlog, flushNumber, nowMs);
    if (!this.survives(backlog.settle(nowMs))) return;
    if (!backlog.isEmpty) {
      if (backlog.canTakeMore && this.canWrite()) this.markDirty();
      return;
    }
    this.backlog = undefined;
    const report = backlog.report();
    if (report !== undefined) this.reportConflation(report.count, report.forMs);
    this.closeWhenDrained();
  }

  private writeBacklog(backlog: Backlog, flushNumber: number, nowMs: number): void {
    const batches = backlog.take(this.window.openBytes);
    if (batches.length === 0) return;
    const buffers = batches.map((batch) => batch.joined(this.encoding));
    const messages = batches.reduce((sum, batch) => sum + batch.count, 0);
    let bytes = buffers.reduce((sum, buffer) => sum + buffer.length, 0);
    // What is left waits for a mark, so there has to be one, however little was written.
    const isMarkDue = this.window.isMarkDue(bytes) || !backlog.isEmpty;
    if (isMarkDue) {
      // Behind buffers that are shared, and too large to copy for it.
      const mark = markBytes(this.markKind, flushNumber);
      buffers.push(mark);
      bytes += mark.length;
    }
    this.wrote(bytes, messages, nowMs);
    this.sink.writeAll(buffers);
    if (isMarkDue) this.marked(flushNumber, nowMs);
  }

  /** Closes the client where its backlog says why. */
  private survives(fault: CloseCode | undefined): boolean {
    if (fault !== undefined) this.startClosing(fault.code, fault.reason);
    return fault === undefined;
  }

  private reportConflation(count: number, forMs: number): void {
    this.reportedConflations += count;
    if (this.identity.format !== WireFormat.pushV1) return;
    this.offer(Frame.text(serverMessage('conflated', { count, sinceMs: Math.round(Date.now() - forMs) })));
  }

  private takeSecondAnswer(): boolean {
    if (this.secondAnswers === 0) return false;
    this.secondAnswers -= 1;
    return true;
  }

  private marked(flushNumber: number, nowMs: number): void {
    this.window.marked(flushNumber, nowMs);
    if (this.markKind === MarkKind.both) this.secondAnswers += 1;
  }

  private canWrite(): boolean {
    return this.window.openBytes > 0 && this.sink.bufferedBytes <= this.options.maxOutboxBytes;
  }

  private write(bytes: Buffer, messages: number, nowMs: number): void {
    this.wrote(bytes.length, messages, nowMs);
    this.sink.write(bytes);
  }

  private wrote(bytes: number, messages: number, nowMs: number): void {
    const { totals } = this.options;
    totals.bytes += bytes;
    totals.messages += messages;
    this.lastWriteAtMs = nowMs;
    this.window.wrote(bytes);
  }
}
