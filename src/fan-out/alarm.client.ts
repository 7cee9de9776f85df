import { AlarmFeed, type AlarmStart } from './alarm.feed.js';
import type { AlarmSource, LoggedAlarm } from './alarm.source.js';
import { Client, type ClientIdentity, type ClientOptions } from './client.js';
import type { FlushLane } from './flush-queue.js';
import { encodingOf } from './frame.js';
import type { Sink } from './sink.js';
import { Unacknowledged } from './unacknowledged.js';

/** What a client asked for in its query; undefined: everything. Values of one list are alternatives. */
export interface AlarmFilter {
  readonly minSeverity: number | undefined;
  readonly businessTypes: ReadonlySet<string> | undefined;
  readonly businessIds: ReadonlySet<string> | undefined;
}

/** Which organisations' alarms a client may see. */
export interface OrganisationScope {
  covers(orgId: string): boolean;
}

/** What decides who gets an alarm. */
export interface AlarmAddress {
  readonly businessId: string;
  readonly businessType: string | undefined;
  readonly severity: number | undefined;
  readonly orgId: string | undefined;
}

/** An alarm without severity counts as this, the highest of OPC UA Part 9. */
const MAX_SEVERITY = 1000;

/** An alarm without organisation is for everybody; then what the client asked for decides. */
export function isAlarmFor(
  { minSeverity, businessTypes, businessIds }: AlarmFilter,
  scope: OrganisationScope,
  { businessId, businessType, severity, orgId }: AlarmAddress,
): boolean {
  if (orgId !== undefined && !scope.covers(orgId)) return false;
  if (minSeverity !== undefined && (severity ?? MAX_SEVERITY) < minSeverity) return false;
  if (businessTypes !== undefined && (businessType === undefined || !businessTypes.has(businessType))) return false;
  return businessIds === undefined || businessIds.has(businessId);
}

export type AlarmClientOptions = Omit<ClientOptions, 'backlogPolicy' | 'mergesFlushes'> & {
  readonly source: AlarmSource;
  /** The line of clients that are behind, lest those at the head wait for them. */
  readonly catchUpLane: FlushLane;
};

/** What sets one alarm client apart from the others. */
export interface AlarmSubscription {
  readonly accepts: (address: AlarmAddress) => boolean;
  readonly start: AlarmStart;
  /** Of a durable subscription: alarms sent beyond the stored cursor. Undefined: not durable. */
  readonly maxUnacknowledged: number | undefined;
}

/** A connection of the alarm gateway. */
export class AlarmClient extends Client {
  private readonly feed: AlarmFeed;
  private readonly catchUpLane: FlushLane;
  private readonly unacknowledged: Unacknowledged | undefined;

  constructor(identity: ClientIdentity, sink: Sink, options: AlarmClientOptions, subscription: AlarmSubscription) {
    const { accepts, start, maxUnacknowledged } = subscription;
    const unacknowledged = maxUnacknowledged === undefined ? undefined : new Unacknowledged(maxUnacknowledged);
    const { source, lane, catchUpLane, inFlightBytes, maxOutboxBytes, totals } = options;
    const { format } = identity;
    const feed = new AlarmFeed(
      {
        encoding: encodingOf(format, identity.isCompressed === true),
        format,
        maxOutboxBytes,
        source,
        accepts: ({ address }) => accepts(address),
        unacknowledged,
      },
      start,
      () => this.wake(),
    );
    const backlogPolicy = { create: () => feed };
    super(identity, sink, { lane, inFlightBytes, maxOutboxBytes, totals, backlogPolicy, mergesFlushes: false });
    this.feed = feed;
    this.catchUpLane = catchUpLane;
    this.unacknowledged = unacknowledged;
  }

  override get behindBy(): number {
    return this.feed.behindBy;
  }

  protected override get lane(): FlushLane {
    return this.feed.isBehind ? this.catchUpLane : super.lane;
  }

  /** Whether this place was sent, so that it can be acknowledged. */
  hasBeenTold(offset: number): boolean {
    return offset <= this.feed.toldOffset;
  }

  /** Begins to feed a client that starts behind the head; called once the client is known. */
  begin(): void {
    if (this.feed.isOfAnotherEpoch) this.beginAnew();
    else if (this.feed.isBehind) this.useBacklog();
  }

  /** The log has begun anew, in another epoch. */
  beginAnew(): void {
    if (this.state !== 'open' && this.state !== 'draining') return;
    // Of what was offered in the old one nothing may wait.
    this.lane.flushNow(this);
    this.feed.beginAnew();
    this.useBacklog();
  }

  /** Offers the alarm that has just become the newest of the log. One that is behind reads it there. */
  offerAlarm(alarm: LoggedAlarm): void {
    if (this.state !== 'open' || this.feed.isBehind) return;
    const frame = this.feed.next(alarm);
    if (frame !== undefined) this.offer(frame);
    if (this.feed.isBehind) this.useBacklog();
  }

  /** Feeds a client that is at the head from the log. */
  fallBehind(): void {
    if (this.state !== 'open' || this.feed.isBehind) return;
    this.feed.leaveHead();
    this.useBacklog();
  }

  /** Tells a quiet client its place. */
  offerHeartbeat(): void {
    this.offer(this.feed.heartbeat());
  }

  /** The stored cursor of the durable subscription has moved. */
  acknowledged(offset: number): void {
    this.unacknowledged?.acknowledge(offset);
    this.wake();
  }
}
