import { randomBytes } from 'node:crypto';
import type { AlarmEntry, AlarmLog, AppendReceipt, LogBounds, NewAlarm } from './alarm-log.js';
import { type AlarmRetention, eventIdTaken, eventIdTwice, PAGE_BYTES } from './alarm-log.rules.js';

export type { AlarmRetention } from './alarm-log.rules.js';

interface StoredAlarm extends AlarmEntry {
  readonly bytes: number;
  readonly eventId: string | undefined;
  readonly atMs: number;
}

/** The alarm log of one process: ends with it, and says so. For tests, and for applications that want no files. */
export class MemoryAlarmLog implements AlarmLog {
  readonly isDurable = false;
  readonly fault = undefined;
  private readonly epoch = randomBytes(9).toString('base64url');
  /** Trimmed entries stay in front until they are as many as the rest, so that trimming costs a step an alarm. */
  private entries: StoredAlarm[] = [];
  private trimmed = 0;
  private newest = 0;
  private bytes = 0;
  private readonly byEventId = new Map<string, StoredAlarm>();
  private readonly byCondition = new Map<string, StoredAlarm>();
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
    const from = this.trimmed + Math.max(0, afterOffset + 1 - this.bounds().oldest);
    const page: AlarmEntry[] = [];
    let bytes = 0;
    for (const entry of this.entries.slice(from, from + limit)) {
      bytes += entry.bytes;
      if (bytes > PAGE_BYTES && page.length > 0) break;
      page.push(entry);
    }
    return page;
  }

  async active(): Promise<AlarmEntry[]> {
    return [...this.byCondition.values()].toSorted((a, b) => a.offset - b.offset);
  }

  bounds(): LogBounds {
    return { epoch: this.epoch, oldest: this.newest - this.entries.length + this.trimmed + 1, newest: this.newest };
  }

  async refresh(): Promise<LogBounds> {
    return this.bounds();
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
    const byEventId = new Map<string, { readonly entry: StoredAlarm; readonly index: number }>();
    for (const [index, { json, fields, eventId }] of alarms.entries()) {
      const twin = eventId === undefined ? undefined : byEventId.get(eventId);
      const first = eventId === undefined ? undefined : (twin?.entry ?? this.byEventId.get(eventId));
      if (first !== undefined) {
        const cursor = { epoch: this.epoch, offset: first.offset };
        if (first.json !== json) throw twin ? eventIdTwice(index, twin.index) : eventIdTaken(eventId ?? '', cursor);
        receipts.push({ cursor, duplicate: true });
        continue;
      }
      const offset = this.newest + added.length + 1;
      const entry = {
        epoch: this.epoch,
        offset,
        json,
        fields,
        eventId,
        bytes: Buffer.byteLength(json),
        atMs: this.now(),
      };
      added.push(entry);
      if (eventId !== undefined) byEventId.set(eventId, { entry, index });
      receipts.push({ cursor: { epoch: this.epoch, offset }, duplicate: false });
    }
    for (const entry of added) {
      this.entries.push(entry);
      this.bytes += entry.bytes;
      const { conditionId, active } = entry.fields;
      if (conditionId === undefined) continue;
      if (active === false) this.byCondition.delete(conditionId);
      else this.byCondition.set(conditionId, entry);
    }
    for (const [eventId, { entry }] of byEventId) this.byEventId.set(eventId, entry);
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
    this.bytes -= oldest.bytes;
    if (oldest.eventId !== undefined) this.byEventId.delete(oldest.eventId);
  }
}
