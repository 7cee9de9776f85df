import { type CloseCode, CloseCodes } from '../protocol/close-codes.js';
import { serverMessage } from '../protocol/messages.js';
import type { AlarmSource, LoggedAlarm } from './alarm.source.js';
import type { Backlog } from './backlog.js';
import { Batch } from './batch.js';
import { type Encoding, Frame, WireFormat } from './frame.js';
import type { Unacknowledged } from './unacknowledged.js';

/** A client is told its place at the latest after so many alarms that were not for it. */
const MAX_SILENT_OFFSETS = 1000;

export interface AlarmFeedOptions {
  readonly encoding: Encoding;
  readonly format: WireFormat;
  /** Budget of the messages that wait and are not in the log. */
  readonly maxOutboxBytes: number;
  readonly source: AlarmSource;
  readonly accepts: (alarm: LoggedAlarm) => boolean;
  /** Of a durable subscription: bounds what may be sent. */
  readonly unacknowledged: Unacknowledged | undefined;
}

/** Where a connection's alarms begin. */
export interface AlarmStart {
  readonly epoch: string;
  /** Everything after this offset. */
  readonly position: number;
  /** Alarms up to the position that are sent first: conditions that still hold. In the order of their offsets. */
  readonly prelude: readonly LoggedAlarm[];
}

/**
 * What an alarm client is sent, in the log's order. At the head it is offered each alarm as it comes. A client that
 * cannot take one is behind: it keeps only its position and is fed from the log as its window opens, so what it costs does
 * not grow with how far it is behind. Other messages wait in a queue with a budget, ahead of the alarms.
 */
export class AlarmFeed implements Backlog {
  readonly conflatedCount = 0;
  private readonly texts: Frame[] = [];
  private textBytes = 0;
  /** What the places below are of. Another one than the source's until {@link beginAnew}: then nothing can be read. */
  private epoch: string;
  private behind: boolean;
  /** While behind: everything up to here was written, or is not for this client. */
  private position: number;
  private prelude: readonly LoggedAlarm[];
  private preludeIndex = 0;
  /** The last place that the client was told, by an alarm or a heartbeat. */
  private told: number;
  private isReading = false;
  private isOvertaken = false;

  constructor(
    private readonly options: AlarmFeedOptions,
    start: AlarmStart,
    private readonly wake: () => void,
  ) {
    this.epoch = start.epoch;
    this.position = this.told = start.position;
    this.prelude = start.prelude;
    this.behind = this.prelude.length > 0 || this.position < options.source.head;
  }

  /** Whether the log has begun anew since the client's place was found. */
  get isOfAnotherEpoch(): boolean {
    return this.epoch !== this.options.source.epoch;
  }

  /** Whether the client is fed from the log. */
  get isBehind(): boolean {
    return this.behind;
  }

  /** Alarms of the log, for this client or not, that it is behind. */
  get behindBy(): number {
    return this.behind ? Math.max(0, this.options.source.head - this.position) : 0;
  }

  /** The furthest place that the client can know. */
  get toldOffset(): number {
    return this.told;
  }

  get isEmpty(): boolean {
    return !this.behind && this.texts.length === 0;
  }

  get byteLength(): number {
    return this.textBytes;
  }

  get canTakeMore(): boolean {
    return this.texts.length > 0 || (this.behind && !this.isReading && !this.isOutOfCredit);
  }

  /** The next alarm of the log, for a client at the head: the frame to offer, if any. */
  next(alarm: LoggedAlarm): Frame | undefined {
    // A client may come from a node that was further on.
    if (alarm.offset <= this.told) return undefined;
    if (!this.options.accepts(alarm)) return this.passOver(alarm.offset);
    if (this.isOutOfCredit) {
      this.fallBehind(alarm.offset - 1);
      return undefined;
    }
    this.tell(alarm.offset);
    return alarm.frame;
  }

  /** For a client that has heard nothing for a while: its place. One that waits for its own acknowledgement hears it again. */
  heartbeat(): Frame {
    const { source } = this.options;
    if (this.behind)
      return Frame.text(source.positionFrame(this.toldBefore(this.prelude[this.preludeIndex])).plainText);
    this.told = Math.max(this.told, source.head);
    return source.positionFrame(this.told);
  }

  /** What comes next has to be read from the log, although the client is at the head. */
  leaveHead(): void {
    this.fallBehind(Math.max(this.told, this.options.source.head));
  }

  /** The log has begun anew: the client is told, and goes on there. Whatever it was offered before is written, or was added. */
  beginAnew(): void {
    const { source, unacknowledged } = this.options;
    const offset = this.toldBefore(this.prelude[this.preludeIndex]);
    const { offset: position, gap } = source.resume({ epoch: this.epoch, offset });
    this.epoch = source.epoch;
    this.prelude = [];
    this.preludeIndex = 0;
    this.position = this.told = position;
    this.behind = position < source.head;
    this.isReading = false;
    unacknowledged?.rewind(0);
    if (gap === undefined) return;
    if (this.options.format === WireFormat.pushV1) this.add(Frame.text(serverMessage('gap', gap)));
    else this.isOvertaken = true;
  }

  add(frame: Frame): void {
    if (frame.resumesAfter !== undefined) {
      this.fallBehind(frame.resumesAfter);
      return;
    }
    this.texts.push(frame);
    this.textBytes += this.bytesOf(frame);
  }

  take(maxBytes: number): readonly Batch[] {
    const taken = new Taken(maxBytes, (frame) => this.bytesOf(frame));
    for (let [text] = this.texts; text !== undefined; [text] = this.texts) {
      if (!taken.add(text)) return taken.batches();
      this.texts.shift();
      this.textBytes -= this.bytesOf(text);
    }
    if (this.behind && !this.isOfAnotherEpoch && this.takePrelude(taken)) this.takePage(taken);
    return taken.batches();
  }

  age(): CloseCode | undefined {
    return this.isOvertaken ? CloseCodes.overtaken : undefined;
  }

  settle(): CloseCode | undefined {
    if (this.isOvertaken) return CloseCodes.overtaken;
    return this.textBytes > this.options.maxOutboxBytes && this.texts.length > 1 ? CloseCodes.outboxFull : undefined;
  }

  report(): undefined {}

  private get isOutOfCredit(): boolean {
    return this.options.unacknowledged?.isFull === true;
  }

  /** False: it does not all fit. */
  private takePrelude(taken: Taken): boolean {
    if (this.prelude.length === 0) return true;
    for (; this.preludeIndex < this.prelude.length; this.preludeIndex++) {
      const alarm = this.prelude[this.preludeIndex];
      if (alarm !== undefined && this.options.accepts(alarm) && !taken.add(alarm.frame)) return false;
    }
    this.prelude = [];
    // What came last may be older than the position, from which the client is to resume.
    if (this.options.format === WireFormat.pushV1) taken.addAnyway(this.options.source.positionFrame(this.position));
    return true;
  }

  private takePage(taken: Taken): void {
    const { source, accepts } = this.options;
    const page = source.after(this.position, this.whenRead);
    this.isReading = page === undefined;
    if (page === undefined) return;
    for (const alarm of page.alarms) {
      if (!this.goOnAt(alarm.offset, taken)) return;
      taken.begin(page.rootAfter(this.position));
      if (accepts(alarm)) {
        if (this.isOutOfCredit || !taken.add(alarm.frame)) return;
        this.tell(alarm.offset);
      } else {
        const heartbeat = this.passOver(alarm.offset);
        if (heartbeat !== undefined) taken.addAnyway(heartbeat);
      }
      this.position = alarm.offset;
    }
    if (!this.goOnAt(page.end + 1, taken)) return;
    this.behind = this.position < source.head;
  }

  /** Tells what the log does not have before this offset, if anything. False: this client cannot be told, and has to go. */
  private goOnAt(oldestOffset: number, taken: Taken): boolean {
    if (oldestOffset <= this.position + 1) return true;
    if (this.options.format !== WireFormat.pushV1) {
      this.isOvertaken = true;
      return false;
    }
    // Its own, while others may share what they are written of this page.
    taken.begin(Batch.empty());
    taken.addAnyway(this.options.source.gapFrame(this.position, oldestOffset));
    this.position = oldestOffset - 1;
    this.told = this.position;
    return true;
  }

  private readonly whenRead = (): void => {
    this.isReading = false;
    this.wake();
  };

  private fallBehind(position: number): void {
    this.position = this.behind ? Math.min(this.position, position) : position;
    this.behind = true;
    this.told = Math.min(this.told, this.position);
    this.options.unacknowledged?.rewind(this.position);
  }

  /** Whoever resumes there gets what is still to be sent of the prelude. */
  private toldBefore(next: LoggedAlarm | undefined): number {
    return next === undefined ? this.told : Math.min(this.told, next.offset - 1);
  }

  private tell(offset: number): void {
    this.told = offset;
    this.options.unacknowledged?.sent(offset);
  }

  /** An alarm that is not for this client. */
  private passOver(offset: number): Frame | undefined {
    if (offset - this.told < MAX_SILENT_OFFSETS || this.options.format !== WireFormat.pushV1) return undefined;
    this.told = offset;
    return this.options.source.positionFrame(offset);
  }

  private bytesOf(frame: Frame): number {
    return frame.bytes(this.options.encoding).length;
  }
}

/** Frames of one flush, as far as they fit; the first always does. */
class Taken {
  private readonly full: Batch[] = [];
  private batch = Batch.empty();
  private bytes = 0;

  constructor(
    private readonly maxBytes: number,
    private readonly bytesOf: (frame: Frame) => number,
  ) {}

  batches(): readonly Batch[] {
    this.begin(Batch.empty());
    return this.full;
  }

  /** Whoever takes the same from here on shares what is joined. */
  begin(root: Batch | undefined): void {
    if (root === undefined) return;
    if (this.batch.count > 0) this.full.push(this.batch);
    this.batch = root;
  }

  add(frame: Frame): boolean {
    const bytes = this.bytesOf(frame);
    if (this.bytes > 0 && this.bytes + bytes > this.maxBytes) return false;
    this.addAnyway(frame);
    return true;
  }

  /** For the small messages that belong between alarms. */
  addAnyway(frame: Frame): void {
    this.batch = this.batch.with(frame);
    this.bytes += this.bytesOf(frame);
  }
}
