import type { Cursor } from '../protocol/cursor.js';

/** Injection token of the {@link AlarmLog}. */
export const ALARM_LOG = Symbol('ALARM_LOG');

/** What clients and tokens filter by; kept beside the JSON so that nobody has to parse it again. */
export interface AlarmFields {
  readonly businessId: string;
  readonly businessType: string | undefined;
  readonly severity: number | undefined;
  readonly orgId: string | undefined;
  readonly conditionId: string | undefined;
  readonly active: boolean | undefined;
}

/** An alarm on its way into the log. */
export interface NewAlarm {
  readonly json: string;
  readonly fields: AlarmFields;
  /** Idempotency key. */
  readonly eventId: string | undefined;
}

/** An alarm in the log, and its place there. */
export interface AlarmEntry extends Cursor {
  readonly json: string;
  readonly fields: AlarmFields;
}

export interface AppendReceipt {
  readonly cursor: Cursor;
  /** The same eventId with the same content was stored before; the cursor is the first one's. */
  readonly duplicate: boolean;
}

export interface LogBounds {
  readonly epoch: string;
  /** Offset of the oldest alarm still there; `newest + 1` where the log is empty. */
  readonly oldest: number;
  /** Offset of the newest alarm, 0 before the first. */
  readonly newest: number;
}

/**
 * The store of alarms and the only source of their order.
 *
 * Guarantees: offsets are contiguous within an epoch and never used twice; an append is all or nothing; when it
 * resolves, the alarms are as safe as the backend promises (`isDurable`) and every later `read` finds them; what was
 * trimmed is told by `bounds`, never skipped in silence. A log that has lost alarms begins anew: in another epoch, in
 * which it keeps what is left.
 */
export interface AlarmLog {
  /** Whether alarms outlive this process. */
  readonly isDurable: boolean;

  /** Why the log cannot take alarms now; undefined where the last append succeeded. */
  readonly fault: string | undefined;

  /**
   * Appends a batch in the order given. Throws EventIdConflictError where an eventId stands for other content, and
   * AlarmNotAcceptedError where the log cannot take it.
   */
  append(alarms: readonly NewAlarm[]): Promise<AppendReceipt[]>;

  /**
   * Up to `limit` entries after this offset, oldest first, starting at the oldest still there: fewer where they are large,
   * but at least one where there is one.
   */
  read(afterOffset: number, limit: number): Promise<AlarmEntry[]>;

  /**
   * The newest event of each condition that is not cleared (`active: false`), in the order of their offsets; also where the
   * retention has removed them from the rest.
   */
  active(): Promise<AlarmEntry[]>;

  /** As of the last answer of the store; other nodes may be further. */
  bounds(): LogBounds;

  /** The bounds of now, which `bounds` gives from then on. */
  refresh(): Promise<LogBounds>;

  /**
   * Calls back after entries became readable, from wherever they came, or the log began anew: in the same step as `bounds`
   * tells it. The returned function ends that.
   */
  onAppended(listener: () => void): () => void;

  /** Removes what the retention does not keep, and returns how many that were. */
  trim(): Promise<number>;

  close(): Promise<void>;
}
