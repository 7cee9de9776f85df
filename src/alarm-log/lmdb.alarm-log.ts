import type { Database } from 'lmdb';
import { reasonOf } from '../push.causes.js';
import { AlarmNotAcceptedError } from '../push.errors.js';
import type { AlarmEntry, AlarmLog, AppendReceipt, LogBounds, NewAlarm } from './alarm-log.js';
import { type AlarmRetention, eventIdTaken, eventIdTwice, PAGE_BYTES } from './alarm-log.rules.js';
import { decodeAlarm, decodeFacts, encodeAlarm, type StoredFacts, storedJsonBytes } from './alarm.encoding.js';
import { LmdbEnvironment } from './lmdb.environment.js';

const HOUR_MS = 3_600_000;
/** How often what is too old is looked for. */
const TRIM_INTERVAL_MS = 10_000;
/** How many alarms one transaction of {@link LmdbAlarmLog.trim} removes at most; it holds the event loop meanwhile. */
const TRIM_STEP = 500;
const HEAD = 'head';
const MISSING: StoredFacts = { atMs: -Infinity, eventId: undefined, conditionId: undefined, jsonBytes: 0 };

interface Head {
  readonly oldest: number;
  readonly newest: number;
  /** Of the JSON of all alarms between the two. */
  readonly bytes: number;
}

interface Dropped {
  readonly count: number;
  readonly bytes: number;
}

interface NewEntry {
  readonly index: number;
  readonly offset: number;
  readonly alarm: NewAlarm;
  readonly stored: Buffer;
}

interface Appended {
  readonly receipts: AppendReceipt[];
  /** undefined where nothing was new. */
  readonly head: Head | undefined;
}

/** Where the log is: in a folder of its own, or in an environment that it shares and that others close. */
export type LmdbAlarmLogPlace = { readonly path: string } | { readonly environment: LmdbEnvironment };

export type LmdbAlarmLogOptions = LmdbAlarmLogPlace & {
  readonly retention: AlarmRetention;
  readonly now?: () => number;
};

/** The alarm log of one node, in files: what it accepted is on disk, also after kill -9 and power failure. */
export class LmdbAlarmLog implements AlarmLog {
  readonly isDurable = true;
  private readonly entries: Database<Buffer, number>;
  private readonly offsets: Database<number, string>;
  /** Of each active condition, the offset of its newest event. */
  private readonly conditions: Database<number, string>;
  /** Events of active conditions that the retention has removed from the rest. */
  private readonly outlived: Database<Buffer, number>;
  private readonly heads: Database<Buffer, string>;
  private readonly listeners = new Set<() => void>();
  private readonly timer: NodeJS.Timeout;
  /** As of the last commit; what a transaction sees of those before it in its group is in the database only. */
  private head: Head;
  private trimming: Promise<number> | undefined;
  private trimFault: string | undefined;
  private closing: Promise<void> | undefined;

  /** The environment can be shared with other stores; whoever opened it closes it, after the log. */
  constructor(
    private readonly environment: LmdbEnvironment,
    private readonly retention: AlarmRetention,
    private readonly now: () => number = Date.now,
    private readonly ownsEnvironment = false,
  ) {
    this.entries = environment.database('alarms', 'binary');
    this.offsets = environment.database('alarm-event-ids', 'ordered-binary');
    this.conditions = environment.database('alarm-conditions', 'ordered-binary');
    this.outlived = environment.database('alarm-outlived', 'binary');
    this.heads = environment.database('alarm-head', 'binary');
    this.head = this.storedHead();
    this.timer = setInterval(() => this.trimInBackground(), TRIM_INTERVAL_MS);
    this.timer.unref();
  }

  /** Throws {@link PushConfigurationError} where the folder cannot be used. */
  static async open({ retention, now, ...place }: LmdbAlarmLogOptions): Promise<LmdbAlarmLog> {
    if ('environment' in place) return new LmdbAlarmLog(place.environment, retention, now);
    const environment = await LmdbEnvironment.open(place.path);
    try {
      return new LmdbAlarmLog(environment, retention, now, true);
    } catch (cause) {
      await environment.close();
      throw cause;
    }
  }

  get fault(): string | undefined {
    return this.environment.fault ?? this.trimFault;
  }

  /** Where a damaged log was moved, so that this one could begin anew; say it loudly. */
  get setAside(): string | undefined {
    return this.environment.setAside;
  }

  async append(alarms: readonly NewAlarm[]): Promise<AppendReceipt[]> {
    this.checkIsOpen();
    if (alarms.length === 0) return [];
    const { receipts, head } = await this.environment.commit(() => this.store(alarms));
    if (head !== undefined) {
      this.head = head;
      for (const listener of this.listeners) listener();
    }
    return receipts;
  }

  async read(afterOffset: number, limit: number): Promise<AlarmEntry[]> {
    const { oldest, newest } = this.head;
    const start = Math.max(afterOffset + 1, oldest);
    if (limit < 1 || start > newest) return [];
    const page: AlarmEntry[] = [];
    let bytes = 0;
    // Read in one go: an iterator kept for longer would hold on to pages that the log wants to use again.
    for (const { value } of this.entries.getRange({ start, end: newest + 1, limit })) {
      bytes += storedJsonBytes(value);
      if (bytes > PAGE_BYTES && page.length > 0) break;
      page.push(decodeAlarm(value, this.environment.epoch));
    }
    return page;
  }

  async active(): Promise<AlarmEntry[]> {
    const offsets = Array.from(this.conditions.getRange(), ({ value }) => value).toSorted((a, b) => a - b);
    return offsets.flatMap((offset) => {
      const stored = this.entries.get(offset) ?? this.outlived.get(offset);
      return stored === undefined ? [] : [decodeAlarm(stored, this.environment.epoch)];
    });
  }

  bounds(): LogBounds {
    const { oldest, newest } = this.head;
    return { epoch: this.environment.epoch, oldest, newest };
  }

  async refresh(): Promise<LogBounds> {
    return this.bounds();
  }

  onAppended(listener: () => void): () => void {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }

  trim(): Promise<number> {
    this.trimming ??= this.trimInSteps().finally(() => (this.trimming = undefined));
    return this.trimming;
  }

  close(): Promise<void> {
    this.closing ??= this.shutDown();
    return this.closing;
  }

  private async shutDown(): Promise<void> {
    clearInterval(this.timer);
    this.listeners.clear();
    // Its outcome is its caller's; here it only has to be over.
    if (this.trimming !== undefined) await Promise.allSettled([this.trimming]);
    if (this.ownsEnvironment) await this.environment.close();
  }

  private checkIsOpen(): void {
    if (this.closing !== undefined) throw new AlarmNotAcceptedError('rejected', 'the alarm log is closed');
  }

  /** Runs inside a transaction. All that can throw comes before the first write. */
  private store(alarms: readonly NewAlarm[]): Appended {
    const before = this.storedHead();
    const { receipts, added } = this.check(alarms, before.newest);
    if (added.length === 0) return { receipts, head: undefined };
    let bytes = 0;
    for (const entry of added) {
      this.put(entry, before.oldest);
      bytes += storedJsonBytes(entry.stored);
    }
    const whole = { oldest: before.oldest, newest: before.newest + added.length, bytes: before.bytes + bytes };
    // Exact where the retention stays the same; where it has shrunk, the rest is left to the background.
    const head = this.drop(whole, (rest, dropped) => {
      return this.isOverSize(rest) && (dropped.count < 2 * added.length || dropped.bytes < 2 * bytes);
    });
    this.heads.putSync(HEAD, encodeHead(head));
    return { receipts, head };
  }

  private check(alarms: readonly NewAlarm[], newest: number): { receipts: AppendReceipt[]; added: NewEntry[] } {
    const { epoch } = this.environment;
    const atMs = this.now();
    const added: NewEntry[] = [];
    const byEventId = new Map<string, NewEntry>();
    const receipts = alarms.map((alarm, index) => {
      const first = this.firstOf(alarm, index, byEventId);
      if (first !== undefined) return { cursor: { epoch, offset: first }, duplicate: true };
      const offset = newest + added.length + 1;
      const entry = { index, offset, alarm, stored: encodeAlarm(alarm, offset, atMs) };
      added.push(entry);
      if (alarm.eventId !== undefined) byEventId.set(alarm.eventId, entry);
      return { cursor: { epoch, offset }, duplicate: false };
    });
    return { receipts, added };
  }

  /** Offset of the same event, stored before or earlier in the batch. */
  private firstOf({ eventId, json }: NewAlarm, index: number, batch: Map<string, NewEntry>): number | undefined {
    if (eventId === undefined) return undefined;
    const twin = batch.get(eventId);
    if (twin !== undefined) {
      if (twin.alarm.json !== json) throw eventIdTwice(index, twin.index);
      return twin.offset;
    }
    const first = this.storedUnder(eventId);
    if (first !== undefined && first.json !== json) {
      throw eventIdTaken(eventId, { epoch: this.environment.epoch, offset: first.offset });
    }
    return first?.offset;
  }

  private storedUnder(eventId: string): AlarmEntry | undefined {
    const offset = this.offsets.get(eventId);
    const stored = offset === undefined ? undefined : this.entries.get(offset);
    return stored === undefined ? undefined : decodeAlarm(stored, this.environment.epoch);
  }

  private put({ offset, alarm, stored }: NewEntry, oldest: number): void {
    this.entries.putSync(offset, stored);
    if (alarm.eventId !== undefined) this.offsets.putSync(alarm.eventId, offset);
    const { conditionId, active } = alarm.fields;
    if (conditionId === undefined) return;
    const replaced = this.conditions.get(conditionId);
    if (replaced !== undefined && replaced < oldest) this.outlived.removeSync(replaced);
    if (active !== false) this.conditions.putSync(conditionId, offset);
    else if (replaced !== undefined) this.conditions.removeSync(conditionId);
  }

  private async trimInSteps(): Promise<number> {
    let total = 0;
    for (;;) {
      this.checkIsOpen();
      const { head, dropped } = await this.environment.commit(() => this.trimStep());
      this.head = head;
      total += dropped;
      if (dropped < TRIM_STEP) return total;
    }
  }

  private trimStep(): { readonly head: Head; readonly dropped: number } {
    const before = this.storedHead();
    const oldestKeptMs = this.now() - this.retention.hours * HOUR_MS;
    const head = this.drop(before, (rest, dropped, atMs) => {
      return dropped.count < TRIM_STEP && (this.isOverSize(rest) || atMs < oldestKeptMs);
    });
    const dropped = head.oldest - before.oldest;
    // After a fault something is written in any case: only that shows whether it is over.
    if (dropped > 0 || this.environment.fault !== undefined) this.heads.putSync(HEAD, encodeHead(head));
    return { head, dropped };
  }

  /** Removes the oldest as long as it has to go, and returns what is left. */
  private drop(from: Head, hasToGo: (rest: Head, dropped: Dropped, atMs: number) => boolean): Head {
    let head = from;
    while (head.oldest <= head.newest) {
      const { oldest, newest, bytes } = head;
      const stored = this.entries.get(oldest);
      // One that is missing goes too, instead of standing in the way of all that follow.
      const facts = stored === undefined ? MISSING : decodeFacts(stored);
      const dropped = { count: oldest - from.oldest, bytes: from.bytes - bytes };
      if (!hasToGo(head, dropped, facts.atMs)) break;
      if (stored !== undefined) this.remove(oldest, stored, facts);
      head = { oldest: oldest + 1, newest, bytes: bytes - facts.jsonBytes };
    }
    return head;
  }

  private remove(offset: number, stored: Buffer, { eventId, conditionId }: StoredFacts): void {
    this.entries.removeSync(offset);
    if (eventId !== undefined) this.offsets.removeSync(eventId);
    const isActive = conditionId !== undefined && this.conditions.get(conditionId) === offset;
    if (isActive) this.outlived.putSync(offset, stored);
  }

  private isOverSize({ oldest, newest, bytes }: Head): boolean {
    return newest - oldest + 1 > this.retention.count || bytes > this.retention.bytes;
  }

  private storedHead(): Head {
    const stored = this.heads.get(HEAD);
    return stored === undefined ? { oldest: 1, newest: 0, bytes: 0 } : decodeHead(stored);
  }

  private trimInBackground(): void {
    this.trim().then(
      () => (this.trimFault = undefined),
      (cause: unknown) => (this.trimFault = reasonOf(cause)),
    );
  }
}

function encodeHead({ oldest, newest, bytes }: Head): Buffer {
  const stored = Buffer.allocUnsafe(24);
  stored.writeDoubleLE(oldest, 0);
  stored.writeDoubleLE(newest, 8);
  stored.writeDoubleLE(bytes, 16);
  return stored;
}

function decodeHead(stored: Buffer): Head {
  return { oldest: stored.readDoubleLE(0), newest: stored.readDoubleLE(8), bytes: stored.readDoubleLE(16) };
}
