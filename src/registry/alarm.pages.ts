import { Inject, Injectable, Logger } from '@nestjs/common';
import { ALARM_LOG, type AlarmEntry, type AlarmLog } from '../alarm-log/alarm-log.js';
import type { AlarmSource, LoggedAlarm } from '../fan-out/alarm.source.js';
import { Frame } from '../fan-out/frame.js';
import { formatCursor } from '../protocol/cursor.js';
import { serverMessage } from '../protocol/messages.js';
import { PushOptions } from '../push.options.js';

const PAGE_ALARMS = 200;
/** Pages kept for clients that are behind, by the JSON in them: those that are close together share one read. */
const MAX_PAGES_LENGTH = 8 * 1024 * 1024;
/** Of the newest alarms this many, and this much JSON, are kept for clients that are a little behind. */
const MAX_RECENT_ALARMS = 1000;
const MAX_RECENT_LENGTH = 1024 * 1024;
const READ_AGAIN_AFTER_MS = 1000;

interface Page {
  readonly alarms: readonly LoggedAlarm[];
  readonly length: number;
}

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
  /** By the offset that they were read after, least recently used first. */
  private readonly pages = new Map<number, Page>();
  private pagesLength = 0;
  private readonly waiting = new Map<number, Set<() => void>>();
  private retry: NodeJS.Timeout | undefined;
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
    clearTimeout(this.retry);
    this.waiting.clear();
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

  after(offset: number, whenRead: () => void): readonly LoggedAlarm[] | undefined {
    if (offset >= this.currentHead) return [];
    const firstRecent = this.recent[0];
    if (firstRecent !== undefined && offset + 1 >= firstRecent.offset) {
      const start = offset + 1 - firstRecent.offset;
      return this.recent.slice(start, start + PAGE_ALARMS);
    }
    // Clients at different places of one page share it.
    const pageStart = offset - (offset % PAGE_ALARMS);
    const alarms = this.pages
      .get(pageStart)
      ?.alarms.filter((alarm) => alarm.offset > offset && alarm.offset <= this.head);
    if (alarms !== undefined && alarms.length > 0) {
      this.touch(pageStart);
      return alarms;
    }
    // Nothing is left of what the page would hold, and what follows it is not there either.
    if (this.isTrimmedTo(this.head)) return [];
    this.read(offset, pageStart, whenRead);
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

  private read(offset: number, pageStart: number, whenRead: () => void): void {
    const waiting = this.waiting.get(pageStart);
    if (waiting !== undefined) {
      waiting.add(whenRead);
      return;
    }
    this.waiting.set(pageStart, new Set([whenRead]));
    void this.readPage(offset, pageStart);
  }

  private async readPage(offset: number, pageStart: number): Promise<void> {
    try {
      const entries = await this.log.read(pageStart, PAGE_ALARMS);
      // A page cut short by its bytes may end before what was asked for.
      const reaches = (entries.at(-1)?.offset ?? Infinity) > offset;
      this.keep(
        pageStart,
        (reaches ? entries : await this.log.read(offset, PAGE_ALARMS)).map((entry) => this.frame(entry)),
      );
      this.wake(pageStart);
    } catch (cause) {
      this.logger.error('cannot read the alarm log', cause instanceof Error ? cause.stack : String(cause));
      this.retry ??= setTimeout(() => {
        this.retry = undefined;
        for (const start of this.waiting.keys()) this.wake(start);
      }, READ_AGAIN_AFTER_MS);
    }
  }

  private wake(pageStart: number): void {
    const waiting = this.waiting.get(pageStart) ?? [];
    this.waiting.delete(pageStart);
    for (const whenRead of waiting) whenRead();
  }

  private keep(pageStart: number, alarms: readonly LoggedAlarm[]): void {
    this.drop(pageStart);
    const length = alarms.reduce((sum, alarm) => sum + lengthOf(alarm), 0);
    this.pages.set(pageStart, { alarms, length });
    this.pagesLength += length;
    for (const oldest of this.pages.keys()) {
      if (this.pagesLength <= MAX_PAGES_LENGTH || this.pages.size === 1) break;
      this.drop(oldest);
    }
  }

  private touch(pageStart: number): void {
    const page = this.pages.get(pageStart);
    if (page === undefined) return;
    this.pages.delete(pageStart);
    this.pages.set(pageStart, page);
  }

  private drop(pageStart: number): void {
    this.pagesLength -= this.pages.get(pageStart)?.length ?? 0;
    this.pages.delete(pageStart);
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

function lengthOf(alarm: LoggedAlarm | undefined): number {
  return alarm?.frame.approximateBytes ?? 0;
}
