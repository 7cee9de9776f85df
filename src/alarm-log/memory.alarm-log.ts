import { randomBytes } from 'node:crypto';
import { EventIdConflictError } from '../push.errors.js';
import type { AlarmEntry, AlarmLog, AppendReceipt, LogBounds, NewAlarm } from './alarm-log.js';
import { formatCursor } from './cursor.js';

export interface AlarmRetention {
  readonly count: number;
  readonly hours: number;
  readonly bytes: number;
}

interface StoredAlarm extends AlarmEntry {
  readonly eventId: string | undefined;
  readonly atMs: number;
}

/** The alarm log of one process: ends with it, and says so. For tests, and for applications that want no files. */
export class MemoryAlarmLog implements AlarmLog {
  readonly isDurable = false;
  private readonly epoch = randomBytes(9).toString('base64url');
  /** Trimmed entries stay in front until they are as many as the rest, so that trimming costs a step an alarm. */
  private entries: StoredAlarm[] = [];
  private trimmed = 0;
  private newest = 0;
  private bytes = 0;
  private readonly byEventId = new Map<string, StoredAlarm>();
  private readonly listeners = new Set<() => void>();

  constructor(
    private readonly retention: AlarmRetention,
    private readonly now: () => number = Date.now,
  ) {}

  async append(alarms: readonly NewAlarm[]): Promise<AppendReceipt[]> {
    const receipts = this.store(alarms);
    this.trimNow();
    if (receipts.some(({ duplicate }) => !duplicate)) for (const listener of this.listeners) listener();
    return receipts;
  }

  async read(afterOffset: number, limit: number): Promise<AlarmEntry[]> {
    const from = Math.max(0, afterOffset + 1 - this.bounds().oldest);
    return this.entries.slice(this.trimmed + from, this.trimmed + from + limit);
  }

  bounds(): LogBounds {
    return { epoch: this.epoch, oldest: this.newest - this.entries.length + this.trimmed + 1, newest: this.newest };
  }

  onAppended(listener: () => void): () => void {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }

  async trim(): Promise<number> {
    return this.trimNow();
  }

  async close(): Promise<void> {
    this.listeners.clear();
  }

  private store(alarms: readonly NewAlarm[]): AppendReceipt[] {
    const receipts: AppendReceipt[] = [];
    const added: StoredAlarm[] = [];
    const addedByEventId = new Map<string, StoredAlarm>();
    for (const { json, fields, eventId } of alarms) {
      const first = eventId === undefined ? undefined : (addedByEventId.get(eventId) ?? this.byEventId.get(eventId));
      if (first !== undefined) {
        const cursor = { epoch: this.epoch, offset: first.offset };
        if (first.json !== json) throw new EventIdConflictError(eventId ?? '', formatCursor(cursor));
        receipts.push({ cursor, duplicate: true });
        continue;
      }
      const entry = { offset: this.newest + added.length + 1, json, fields, eventId, atMs: this.now() };
      added.push(entry);
      if (eventId !== undefined) addedByEventId.set(eventId, entry);
      receipts.push({ cursor: { epoch: this.epoch, offset: entry.offset }, duplicate: false });
    }
    for (const entry of added) {
      this.entries.push(entry);
      this.bytes += Buffer.byteLength(entry.json);
    }
    for (const [eventId, entry] of addedByEventId) this.byEventId.set(eventId, entry);
    this.newest += added.length;
    return receipts;
  }

  private trimNow(): number {
    const before = this.trimmed;
    while (this.trimmed < this.entries.length && this.isTooMuch(this.entries[this.trimmed])) this.dropOldest();
    const dropped = this.trimmed - before;
    if (this.trimmed * 2 >= this.entries.length) {
      this.entries = this.entries.slice(this.trimmed);
      this.trimmed = 0;
    }
    return dropped;
  }

  private isTooMuch(oldest: StoredAlarm | undefined): boolean {
    return (
      this.entries.length - this.trimmed > this.retention.count ||
      this.bytes > this.retention.bytes ||
      (oldest?.atMs ?? 0) < this.now() - this.retention.hours * 3_600_000
    );
  }

  private dropOldest(): void {
    const oldest = this.entries[this.trimmed];
    this.trimmed += 1;
    if (oldest === undefined) return;
    this.bytes -= Buffer.byteLength(oldest.json);
    if (oldest.eventId !== undefined) this.byEventId.delete(oldest.eventId);
  }
}
