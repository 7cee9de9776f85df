import { Inject, Injectable, Logger } from '@nestjs/common';
import { ALARM_LOG, type AlarmEntry, type AlarmLog } from '../alarm-log/alarm-log.js';
import type { AlarmPage, AlarmSource, LoggedAlarm } from '../fan-out/alarm.source.js';
import { Batch } from '../fan-out/batch.js';
import { Frame } from '../fan-out/frame.js';
import { formatCursor } from '../protocol/cursor.js';
import { serverMessage } from '../protocol/messages.js';
import { PushOptions } from '../push.options.js';

const PAGE_ALARMS = 200;
/**
 * Pages kept for clients that are behind, by the JSON in them: those that are close together share one read. Frames and
 * what is joined of them take about four times as much.
 */
const MAX_PAGES_LENGTH = 2 * 1024 * 1024;
/** Of the newest alarms this many, and this much JSON, are kept for clients that are a little behind. */
const MAX_RECENT_ALARMS = 1000;
const MAX_RECENT_LENGTH = 1024 * 1024;
/** Places of one page that are remembered. */
const MAX_PARTS = 4;
const READ_AGAIN_AFTER_MS = 1000;

interface Page {
  readonly alarms: readonly LoggedAlarm[];
  readonly length: number;
  /** What clients at a place of the page have in common, by the offset that they are behind of. */
  readonly parts: Map<number, AlarmPage>;
}

const NOTHING: AlarmPage = { root: Batch.empty(), alarms: [] };

/**
 * The log in pages, each read and framed once for all clients that need it. What it holds is bounded, however many clients
 * are behind and however far.
 */
@Injectable()
export class AlarmPages implements AlarmSource {
  private readonly logger = new Logger(AlarmPages.name);
  private currentHead = 0;
  /** The newest alarms up to the head, without a gap. */
  private recent: LoggedAlarm[] = [];
  private recentLength = 0;
  /** As {@link Page.parts}, until the next alarm. */
  private readonly recentParts = new Map<number, AlarmPage>();
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
  ) {}

  get head(): number {
    return this.currentHead;
  }

  get headCursor(): string {
    return this.cursorAt(this.head);
  }

  cursorAt(offset: number): string {
    return formatCursor({ epoch: this.log.bounds().epoch, offset });
  }

  /** Begins at the end of the log. */
  open(): void {
    this.currentHead = this.log.bounds().newest;
  }

  close(): void {
    this.isClosed = true;
    clearTimeout(this.retry);
    this.waiting.clear();
  }

  /** The next alarm of the log is out. */
  advance(entry: AlarmEntry): LoggedAlarm {
    const alarm = this.frame(entry);
    if (alarm.offset !== this.currentHead + 1) this.forgetRecent();
    this.currentHead = alarm.offset;
    this.recent.push(alarm);
    this.recentParts.clear();
    this.recentLength += lengthOf(alarm);
    if (this.recent.length > 2 * MAX_RECENT_ALARMS || this.recentLength > 2 * MAX_RECENT_LENGTH) this.shortenRecent();
    return alarm;
  }

  after(offset: number, whenRead: () => void): AlarmPage | undefined {
    if (offset >= this.currentHead) return NOTHING;
    const firstRecent = this.recent[0];
    if (firstRecent !== undefined && offset + 1 >= firstRecent.offset) {
      return this.recentPart(offset, firstRecent.offset);
    }
    // Clients at different places of one page share it; where that was cut short by its bytes, there is one behind it.
    const pageStart = offset - (offset % PAGE_ALARMS);
    const part = this.kept(pageStart, offset) ?? this.kept(offset, offset);
    if (part !== undefined) return part;
    // Nothing is left of what the page would hold, and what follows it is not there either.
    if (this.isTrimmedTo(this.head)) return NOTHING;
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

  gapFrame(afterOffset: number, oldestOffset: number): Frame {
    const data = {
      requested: this.cursorAt(afterOffset),
      oldest: this.cursorAt(oldestOffset),
      reason: 'retention',
    } as const;
    return Frame.text(serverMessage('gap', data));
  }

  /** What a client is sent of an entry. */
  frame({ offset, json, fields }: AlarmEntry): LoggedAlarm {
    const cursor = { epoch: this.log.bounds().epoch, offset };
    return { offset, address: fields, frame: Frame.alarm(cursor, json, this.options.compression?.thresholdBytes) };
  }

  private isTrimmedTo(offset: number): boolean {
    return this.log.bounds().oldest > offset;
  }

  private recentPart(offset: number, firstOffset: number): AlarmPage {
    const known = this.recentParts.get(offset);
    if (known !== undefined) return known;
    const start = offset + 1 - firstOffset;
    return remember(this.recentParts, offset, this.recent.slice(start, start + PAGE_ALARMS));
  }

  /** What the page read after `start` holds after this offset, if anything. */
  private kept(start: number, offset: number): AlarmPage | undefined {
    const page = this.pages.get(start);
    if (page === undefined) return undefined;
    this.pages.delete(start);
    this.pages.set(start, page);
    const known = page.parts.get(offset);
    // What was beyond the head may be out by now.
    if (known?.alarms.at(-1)?.offset === Math.min(page.alarms.at(-1)?.offset ?? 0, this.head)) return known;
    const alarms = page.alarms.filter((alarm) => alarm.offset > offset && alarm.offset <= this.head);
    if (alarms.length === 0) return undefined;
    return remember(page.parts, offset, alarms);
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
    try {
      const entries = await this.log.read(start, PAGE_ALARMS);
      this.keep(
        start,
        entries.map((entry) => this.frame(entry)),
      );
      this.wake(start);
    } catch (cause) {
      this.logger.error('cannot read the alarm log', cause instanceof Error ? cause.stack : String(cause));
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

  private keep(start: number, alarms: readonly LoggedAlarm[]): void {
    this.drop(start);
    const length = alarms.reduce((sum, alarm) => sum + lengthOf(alarm), 0);
    this.pages.set(start, { alarms, length, parts: new Map() });
    this.pagesLength += length;
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
  }

  private shortenRecent(): void {
    let start = Math.max(0, this.recent.length - MAX_RECENT_ALARMS);
    let length = this.recent.slice(start).reduce((sum, alarm) => sum + lengthOf(alarm), 0);
    for (; length > MAX_RECENT_LENGTH && start < this.recent.length - 1; start++) {
      length -= lengthOf(this.recent[start]);
    }
    this.recent = this.recent.slice(start);
    this.recentLength = length;
  }
}

/** Clients in step with each other are at the same place; each place costs what was joined for it. */
function remember(parts: Map<number, AlarmPage>, offset: number, alarms: readonly LoggedAlarm[]): AlarmPage {
  const part = { root: Batch.empty(), alarms };
  parts.set(offset, part);
  const [oldest] = parts.keys();
  if (parts.size > MAX_PARTS && oldest !== undefined) parts.delete(oldest);
  return part;
}

function lengthOf(alarm: LoggedAlarm | undefined): number {
  return alarm?.frame.approximateBytes ?? 0;
}
