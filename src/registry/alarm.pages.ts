import { Inject, Injectable, Logger } from '@nestjs/common';
import { ALARM_LOG, type AlarmEntry, type AlarmLog } from '../alarm-log/alarm-log.js';
import type { AlarmPage, AlarmSource, LoggedAlarm, Resumption } from '../fan-out/alarm.source.js';
import { Frame } from '../fan-out/frame.js';
import { type Cursor, formatCursor } from '../protocol/cursor.js';
import { serverMessage } from '../protocol/messages.js';
import { PushOptions } from '../push.options.js';
import { lengthOf, Page, SharedRoots } from './alarm.page.js';
import { FaultReporter } from './fault.reporter.js';

const PAGE_ALARMS = 200;
/**
 * Pages kept for clients that are behind, by the JSON in them: those that are close together share one read. Frames and
 * what is joined of them take about four times as much.
 */
const MAX_PAGES_LENGTH = 2 * 1024 * 1024;
/** Of the newest alarms this many, and this much JSON, are kept for clients that are a little behind. */
const MAX_RECENT_ALARMS = 1000;
const MAX_RECENT_LENGTH = 1024 * 1024;
const READ_AGAIN_AFTER_MS = 1000;

/**
 * The log in pages, each read and framed once for all clients that need it. What it holds is bounded, however many clients
 * are behind and however far.
 */
@Injectable()
export class AlarmPages implements AlarmSource {
  private readonly faults = new FaultReporter(new Logger(AlarmPages.name));
  private currentEpoch: string;
  private currentHead = 0;
  /** The newest alarms up to the head, without a gap. */
  private recent: LoggedAlarm[] = [];
  private recentLength = 0;
  private recentRoots = new SharedRoots();
  /** By the offset that they were read after, least recently used first. */
  private readonly pages = new Map<number, Page>();
  private pagesLength = 0;
  private readonly waiting = new Map<number, Set<() => void>>();
  private retry: NodeJS.Timeout | undefined;
  private isClosed = false;
  private memoPosition: { offset: number; frame: Frame } | undefined;

  constructor(
    @Inject(ALARM_LOG) private readonly log: AlarmLog,
    private readonly options: PushOptions,
  ) {
    this.currentEpoch = log.bounds().epoch;
  }

  get epoch(): string {
    return this.currentEpoch;
  }

  get head(): number {
    return this.currentHead;
  }

  get headCursor(): string {
    return this.cursorAt(this.head);
  }

  cursorAt(offset: number): string {
    return formatCursor({ epoch: this.epoch, offset });
  }

  /** Begins at the end of the log, as it is now. What was held or asked for before is forgotten. */
  open(): void {
    const { epoch, newest } = this.log.bounds();
    this.currentEpoch = epoch;
    this.currentHead = newest;
    this.forgetRecent();
    this.pages.clear();
    this.pagesLength = 0;
    this.waiting.clear();
    this.memoPosition = undefined;
  }

  close(): void {
    this.isClosed = true;
    clearTimeout(this.retry);
    this.waiting.clear();
  }

  /** The log has nothing up to this offset. */
  skipTo(offset: number): void {
    this.currentHead = offset;
    this.forgetRecent();
  }

  /** The next alarm of the log is out. */
  advance(entry: AlarmEntry): LoggedAlarm {
    const alarm = this.frame(entry);
    if (alarm.offset !== this.currentHead + 1) this.forgetRecent();
    this.currentHead = alarm.offset;
    this.recent.push(alarm);
    this.recentLength += lengthOf(alarm);
    if (this.recent.length > 2 * MAX_RECENT_ALARMS || this.recentLength > 2 * MAX_RECENT_LENGTH) this.shortenRecent();
    return alarm;
  }

  after(offset: number, whenRead: () => void): AlarmPage | undefined {
    if (offset >= this.currentHead) return this.nothing();
    const firstRecent = this.recent[0];
    if (firstRecent !== undefined && offset + 1 >= firstRecent.offset) {
      const start = offset + 1 - firstRecent.offset;
      const end = Math.min(offset + PAGE_ALARMS, this.currentHead);
      return { alarms: this.recent.slice(start, start + PAGE_ALARMS), end, rootAfter: this.recentRoots.after };
    }
    // Clients at different places of one page share it; where that was cut short by its bytes, there is one behind it.
    const pageStart = offset - (offset % PAGE_ALARMS);
    const part = this.kept(pageStart, offset) ?? this.kept(offset, offset);
    if (part !== undefined) return part;
    if (this.isTrimmedTo(this.head)) return this.nothing();
    this.read(this.pages.has(pageStart) ? offset : pageStart, whenRead);
    return undefined;
  }

  positionFrame(offset: number): Frame {
    if (this.memoPosition?.offset !== offset) {
      const text = serverMessage('heartbeat', {}, { id: this.cursorAt(offset) });
      this.memoPosition = { offset, frame: Frame.position(text, offset) };
    }
    return this.memoPosition.frame;
  }

  resume(cursor: Cursor): Resumption {
    const { oldest, newest } = this.log.bounds();
    const reason =
      cursor.epoch !== this.epoch
        ? 'epoch'
        : cursor.offset > newest
          ? 'ahead'
          : cursor.offset < oldest - 1
            ? 'retention'
            : undefined;
    if (reason === undefined) return { offset: cursor.offset, gap: undefined };
    return {
      offset: oldest - 1,
      gap: { requested: formatCursor(cursor), oldest: this.cursorAt(oldest), reason },
    };
  }

  gapFrame(afterOffset: number, oldestOffset: number): Frame {
    const data = {
      requested: this.cursorAt(afterOffset),
      oldest: this.cursorAt(oldestOffset),
      reason: 'retention',
    } as const;
    return Frame.text(serverMessage('gap', data));
  }

  /** What a client is sent of an entry. */
  frame(entry: AlarmEntry): LoggedAlarm {
    const { offset, json, fields } = entry;
    return { offset, address: fields, frame: Frame.alarm(entry, json, this.options.compression?.thresholdBytes) };
  }

  /** There is nothing up to the head. */
  private nothing(): AlarmPage {
    return { alarms: [], end: this.currentHead, rootAfter: () => undefined };
  }

  private isTrimmedTo(offset: number): boolean {
    return this.log.bounds().oldest > offset;
  }

  /** What the page read after `start` says of what follows this offset, if it does. */
  private kept(start: number, offset: number): AlarmPage | undefined {
    const page = this.pages.get(start);
    if (page === undefined || offset >= page.end) return undefined;
    this.pages.delete(start);
    this.pages.set(start, page);
    const end = Math.min(page.end, this.head);
    return { alarms: page.after(offset, end), end, rootAfter: page.rootAfter };
  }

  private read(start: number, whenRead: () => void): void {
    const waiting = this.waiting.get(start);
    if (waiting !== undefined) {
      waiting.add(whenRead);
      return;
    }
    this.waiting.set(start, new Set([whenRead]));
    void this.readPage(start);
  }

  private async readPage(start: number): Promise<void> {
    const { epoch, head } = this;
    try {
      const entries = await this.log.read(start, PAGE_ALARMS);
      this.faults.succeeded('read a page of the alarm log');
      // Who waited for it has begun anew.
      if (epoch !== this.epoch) return;
      const alarms = entries.map((entry) => this.frame(entry));
      this.keep(start, new Page(alarms, alarms.at(-1)?.offset ?? head));
      this.wake(start);
    } catch (cause) {
      this.faults.failed('read a page of the alarm log', cause);
      if (!this.isClosed) this.retry ??= setTimeout(() => this.wakeAll(), READ_AGAIN_AFTER_MS);
    }
  }

  private wakeAll(): void {
    this.retry = undefined;
    for (const start of this.waiting.keys()) this.wake(start);
  }

  private wake(start: number): void {
    const waiting = this.waiting.get(start) ?? [];
    this.waiting.delete(start);
    for (const whenRead of waiting) whenRead();
  }

  private keep(start: number, page: Page): void {
    this.drop(start);
    this.pages.set(start, page);
    this.pagesLength += page.length;
    for (const oldest of this.pages.keys()) {
      if (this.pagesLength <= MAX_PAGES_LENGTH || this.pages.size === 1) break;
      this.drop(oldest);
    }
  }

  private drop(start: number): void {
    this.pagesLength -= this.pages.get(start)?.length ?? 0;
    this.pages.delete(start);
  }

  private forgetRecent(): void {
    this.recent = [];
    this.recentLength = 0;
    this.recentRoots = new SharedRoots();
  }

  private shortenRecent(): void {
    let start = Math.max(0, this.recent.length - MAX_RECENT_ALARMS);
    let length = this.recent.slice(start).reduce((sum, alarm) => sum + lengthOf(alarm), 0);
    for (; length > MAX_RECENT_LENGTH && start < this.recent.length - 1; start++) {
      length -= lengthOf(this.recent[start]);
    }
    this.recent = this.recent.slice(start);
    this.recentLength = length;
    this.recentRoots = new SharedRoots();
  }
}
