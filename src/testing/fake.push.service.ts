import { MemoryRevocations } from '../access/memory.revocations.js';
import type { RevocationTarget } from '../access/revocations.js';
import type { AppendReceipt, NewAlarm } from '../alarm-log/alarm-log.js';
import { MemoryAlarmLog } from '../alarm-log/memory.alarm-log.js';
import { InProcessBus } from '../bus/in-process.bus.js';
import { InProcessCluster } from '../bus/in-process.cluster.js';
import { FlushQueue } from '../fan-out/flush-queue.js';
import { LastValues } from '../fan-out/last-values.js';
import { type RawDataPush, RawDataRouter } from '../fan-out/raw-data.router.js';
import type { CloseCode } from '../protocol/close-codes.js';
import { formatCursor } from '../protocol/cursor.js';
import { AlarmNotAcceptedError } from '../push.errors.js';
import { PushOptions, type SeriesOf } from '../push.options.js';
import { PushService } from '../push.service.js';
import type { Alarm, PushRawDataOptions, RawDatum } from '../push.types.js';
import { RawDataCoverage } from '../registry/raw-data.coverage.js';
import { GuardedDeliveryFilter } from '../registry/guarded.delivery-filter.js';
import { RawDataRegistry } from '../registry/raw-data.registry.js';
import { type DisconnectTarget, Sessions } from '../registry/sessions.js';

/** A raw datum that was pushed. */
export interface RecordedRawDatum extends PushRawDataOptions {
  /** As clients would read it: what JSON makes of the datum. */
  readonly datum: RawDatum;
  /** What the push was answered. */
  readonly matched: number;
  /** On the fake's clock. */
  readonly pushedAtMs: number;
}

/** An alarm that is in the log. */
export interface RecordedAlarm {
  /** As clients would read it: what JSON makes of the alarm. */
  readonly alarm: Alarm;
  readonly cursor: string;
  /** On the fake's clock. */
  readonly pushedAtMs: number;
}

export interface RecordedDisconnect extends Pick<CloseCode, 'code' | 'reason'> {
  /** Whose connections, */
  readonly userName?: string;
  /** or which one. */
  readonly clientId?: string;
}

/** How many clients match a push. */
export type Matches = number | ((datum: RawDatum, options: PushRawDataOptions) => number);

/** What the alarm log does: takes alarms, does not take them, or takes them without being able to say so. */
export type AlarmLogOutcome = 'accepted' | AlarmNotAcceptedError['outcome'];

export interface FakePushServiceOptions {
  /** As `now` of a TestClock; default `Date.now`. */
  readonly now?: () => number;
  /** As the option of PushModule. */
  readonly seriesOf?: SeriesOf;
}

/**
 * A PushService without clients, network and disk, for `new MyService(push)`, and for modules by PushTestingModule. It is
 * the real one on ports that record: what would be an error in production is the same error here, an `eventId` is stored
 * once, and what is recorded is what clients would read.
 */
export class FakePushService extends PushService {
  private readonly registry: RecordingRegistry;
  private readonly log: RecordingAlarmLog;
  private readonly recordedSessions: RecordingSessions;

  constructor({ now = () => Date.now(), seriesOf }: FakePushServiceOptions = {}) {
    const options = Object.assign(new PushOptions(), { seriesOf });
    const deliveryFilter = new GuardedDeliveryFilter(options);
    const registry = new RecordingRegistry(options, deliveryFilter, now);
    const log = new RecordingAlarmLog(options, now);
    const sessions = new RecordingSessions(options, now);
    super(options, registry, log, new InProcessBus(), sessions, deliveryFilter);
    this.registry = registry;
    this.log = log;
    this.recordedSessions = sessions;
  }

  /** Every raw datum that was pushed, oldest first. */
  get rawData(): readonly RecordedRawDatum[] {
    return this.registry.recorded;
  }

  /** Every alarm that the log has, oldest first: one of an `eventId` that it had already is not there twice. */
  get alarms(): readonly RecordedAlarm[] {
    return this.log.recorded;
  }

  /** Every `disconnect`, oldest first. */
  get disconnects(): readonly RecordedDisconnect[] {
    return this.recordedSessions.disconnected;
  }

  /** Every `revoke`, oldest first. */
  get revocations(): readonly RevocationTarget[] {
    return this.recordedSessions.revoked;
  }

  /** How many clients match the pushes from now on. At first 0. */
  setMatched(matched: Matches): this {
    this.registry.matched = matched;
    return this;
  }

  /**
   * What the log does from now on. `rejected` and `unknown` are AlarmNotAcceptedErrors; with `unknown` the alarm is stored
   * all the same, so that whoever repeats it without its `eventId` has it twice.
   */
  setAlarmLog(outcome: AlarmLogOutcome): this {
    this.log.outcome = outcome;
    return this;
  }

  /** How many connections `disconnect` and `revoke` close from now on. At first 0. */
  setClosed(closed: number): this {
    this.recordedSessions.closed = closed;
    return this;
  }
}

class RecordingRegistry extends RawDataRegistry {
  readonly recorded: RecordedRawDatum[] = [];
  matched: Matches = 0;

  constructor(
    options: PushOptions,
    deliveryFilter: GuardedDeliveryFilter,
    private readonly now: () => number,
  ) {
    const lastValues = new LastValues(options);
    const coverage = new RawDataCoverage(new InProcessBus(), undefined, lastValues, options);
    super(options, new FlushQueue(options), lastValues, new RawDataRouter(coverage), deliveryFilter, coverage);
  }

  override route({ frame, to, except }: RawDataPush): number {
    const datum = JSON.parse(frame.plainText) as RawDatum;
    const options = { ...(to === undefined ? {} : { to }), ...(except === undefined ? {} : { except }) };
    const matched = typeof this.matched === 'number' ? this.matched : this.matched(datum, options);
    this.recorded.push({ datum, ...options, matched, pushedAtMs: this.now() });
    return matched;
  }
}

class RecordingAlarmLog extends MemoryAlarmLog {
  readonly recorded: RecordedAlarm[] = [];
  outcome: AlarmLogOutcome = 'accepted';

  constructor(
    { alarmRetention: count, alarmRetentionHours: hours, alarmRetentionBytes: bytes }: PushOptions,
    private readonly clock: () => number,
  ) {
    super({ count, hours, bytes }, clock);
  }

  override async append(alarms: readonly NewAlarm[]): Promise<AppendReceipt[]> {
    if (this.outcome === 'rejected') throw new AlarmNotAcceptedError('rejected', 'the test wants it so');
    const receipts = await super.append(alarms);
    for (const [index, { cursor, duplicate }] of receipts.entries()) {
      const alarm = JSON.parse(alarms[index]?.json ?? '{}') as Alarm;
      if (!duplicate) this.recorded.push({ alarm, cursor: formatCursor(cursor), pushedAtMs: this.clock() });
    }
    if (this.outcome === 'unknown') throw new AlarmNotAcceptedError('unknown', 'the test wants it so');
    return receipts;
  }
}

class RecordingSessions extends Sessions {
  readonly disconnected: RecordedDisconnect[] = [];
  readonly revoked: RevocationTarget[] = [];
  closed = 0;

  constructor(options: PushOptions, now: () => number) {
    super(options, new MemoryRevocations(options.revocationHours * 3_600_000, now), new InProcessCluster(), now);
  }

  override disconnect(target: DisconnectTarget, { code, reason }: Pick<CloseCode, 'code' | 'reason'>): number {
    this.disconnected.push({ ...target, code, reason });
    return this.closed;
  }

  override async revoke(target: RevocationTarget): Promise<number> {
    this.revoked.push(target);
    return this.closed;
  }
}
