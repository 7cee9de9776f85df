import { exclusionOf } from './audience.js';
import type { ClientEvent, Profile } from './history.js';
import { type AcceptedAlarm, isBefore, type KnownLog, type Place } from './known.log.js';
import type { VerdictKind, Verdicts } from './verdicts.js';

type Connected = Extract<ClientEvent, { type: 'connected' }>;
type Gap = Extract<ClientEvent, { type: 'gap' }>;

/** Between the two, both excluded, nothing is promised. */
interface ToldGap {
  readonly after: Place;
  readonly before: Place;
}

/** Follows one client's history; {@link missing} compares it with the log in the end. */
export class ClientCheck {
  /** Each alarm received, by cursor, with the connection in which it came first. */
  private readonly received = new Map<string, number>();
  private readonly gaps: ToldGap[] = [];
  private connection = 0;
  private again = 0;
  private readonly inConnection = new Set<string>();
  /** In this connection. */
  private last: Place | undefined;
  private resumesAfter: Place | undefined;
  /** The `ready` of this connection, until something shows what it was worth. */
  private greeting: Connected | undefined;
  private start: Place | undefined;
  /** The furthest place told in any connection. */
  private furthest: Place | undefined;
  private acked: Place | undefined;
  deliveries = 0;
  duplicates = 0;

  constructor(
    private readonly profile: Profile,
    private readonly log: KnownLog,
    private readonly verdicts: Verdicts,
  ) {}

  get connections(): number {
    return this.connection;
  }

  get gapCount(): number {
    return this.gaps.length;
  }

  add(event: ClientEvent): void {
    if (event.type === 'connected') this.connect(event);
    else if (event.type === 'delivered') this.deliver(event.id, event.content);
    else if (event.type === 'position') this.tell(event.id);
    else if (event.type === 'gap') this.takeGap(event);
    else if (event.type === 'acked') this.acknowledge(event.id);
  }

  /** Those accepted alarms that were for this client, and whether it received them. */
  expected(accepted: readonly AcceptedAlarm[]): { alarm: AcceptedAlarm; isReceived: boolean }[] {
    const { start } = this;
    if (start === undefined) return [];
    return accepted
      .filter(({ place, facts }) => isBefore(start, place) && exclusionOf(this.profile, facts) === undefined)
      .filter(({ place, cursor }) => this.received.has(cursor) || !this.isTold(place))
      .map((alarm) => ({ alarm, isReceived: this.received.has(alarm.cursor) }));
  }

  /** Says what is missing, in runs. */
  missing(expected: ReturnType<ClientCheck['expected']>): void {
    for (let i = 0; i < expected.length; i++) {
      if (expected[i]?.isReceived !== false) continue;
      const before = expected[i - 1]?.alarm;
      const from = i;
      while (expected[i + 1]?.isReceived === false) i++;
      const run = expected.slice(from, i + 1).map(({ alarm }) => alarm);
      const first = run[0];
      const last = run.at(-1);
      if (first === undefined || last === undefined) continue;
      const kind = this.kindOf(before, first, last, expected[i + 1]?.alarm, run.length);
      this.fault(kind, `${first.cursor} (${first.eventId}) to ${last.cursor}`, run.length);
    }
    if (this.start === undefined) this.fault('notCaughtUp', 'it never was connected');
  }

  private kindOf(
    before: AcceptedAlarm | undefined,
    first: AcceptedAlarm,
    last: AcceptedAlarm,
    after: AcceptedAlarm | undefined,
    count: number,
  ): VerdictKind {
    const isBesideGap = this.gaps.some((gap) => {
      const isBehind =
        !isBefore(first.place, gap.before) && (before === undefined || isBefore(before.place, gap.before));
      const isAhead = !isBefore(gap.after, last.place) && (after === undefined || isBefore(gap.after, after.place));
      return isBehind || isAhead;
    });
    if (isBesideGap) return 'gapTooSmall';
    if (after === undefined) return 'notCaughtUp';
    const isHandOver =
      this.received.get(after.cursor) !== (before === undefined ? 1 : this.received.get(before.cursor));
    if (isHandOver) return 'lostAtHandOver';
    return count === 1 ? 'lost' : 'silentGap';
  }

  private connect(event: Connected): void {
    this.connection += 1;
    this.again = 0;
    this.inConnection.clear();
    this.last = undefined;
    const ready = this.log.place(event.ready);
    this.greeting = event;
    this.resumesAfter = event.after === undefined ? undefined : this.log.place(event.after);
    if (this.start !== undefined) return;
    this.start = this.acked = ready;
  }

  private deliver(id: string, content: string): void {
    this.checkGreeting();
    this.deliveries += 1;
    const place = this.log.place(id);
    const facts = this.log.delivered(id, content, this.profile.name);
    const exclusion = facts === undefined ? undefined : exclusionOf(this.profile, facts);
    if (exclusion !== undefined) this.fault(exclusion, `${id} ${JSON.stringify(facts)}`);
    if (this.inConnection.has(id)) this.fault('twiceInConnection', id);
    else if (this.last !== undefined && !isBefore(this.last, place))
      this.fault('disorder', `${id} behind ${this.last.offset}`);
    else if (this.received.has(id)) this.deliverAgain(id, place);
    // Everything up to the furthest place told in an earlier connection was received there, or was not for this client.
    else if (this.furthest !== undefined && !isBefore(this.furthest, place) && !this.isTold(place)) {
      this.fault('toldAhead', `${id}, but ${this.furthest.offset} was told before`);
    }
    this.inConnection.add(id);
    if (!this.received.has(id)) this.received.set(id, this.connection);
    this.reach(place);
  }

  private deliverAgain(id: string, place: Place): void {
    this.duplicates += 1;
    this.again += 1;
    const { durable } = this.profile;
    if (durable !== undefined && this.again === durable.maxUnacked + 1) {
      this.fault('tooManyAgain', `more than ${durable.maxUnacked} up to ${id}`);
    }
    if (this.resumesAfter !== undefined && !isBefore(this.resumesAfter, place)) {
      this.fault('resumedBehind', `${id} after ${this.resumesAfter.offset}`);
    }
  }

  private tell(id: string): void {
    this.checkGreeting();
    const place = this.log.place(id);
    if (this.last !== undefined && isBefore(place, this.last))
      this.fault('disorder', `heartbeat ${id} behind ${this.last.offset}`);
    this.reach(place);
  }

  private takeGap({ requested, oldest }: Gap): void {
    const after = this.log.place(requested);
    const before = this.log.place(oldest);
    this.greeting = undefined;
    this.gaps.push({ after, before });
    this.reach({ ...before, offset: before.offset - 1 });
  }

  /** `ready` may name no place further than where the client itself says that it is, unless a gap follows. */
  private checkGreeting(): void {
    const { greeting } = this;
    this.greeting = undefined;
    if (greeting === undefined) return;
    const own = this.profile.durable === undefined ? this.resumesAfter : this.acked;
    if (own !== undefined && isBefore(own, this.log.place(greeting.ready))) {
      this.fault('readyAhead', `${greeting.ready}, but ${own.offset} was reached`);
    }
    if (greeting.after !== undefined && !greeting.resumed)
      this.fault('silentGap', `not resumed after ${greeting.after}`);
  }

  private acknowledge(id: string): void {
    const place = this.log.place(id);
    if (this.last === undefined || isBefore(this.last, place)) this.fault('ackAhead', id);
    if (this.acked === undefined || isBefore(this.acked, place)) this.acked = place;
  }

  private reach(place: Place): void {
    if (this.last === undefined || isBefore(this.last, place)) this.last = place;
    if (this.furthest === undefined || isBefore(this.furthest, place)) this.furthest = place;
  }

  private isTold(place: Place): boolean {
    return this.gaps.some(({ after, before }) => isBefore(after, place) && isBefore(place, before));
  }

  private fault(kind: VerdictKind, example: string, count = 1): void {
    this.verdicts.add(kind, this.profile.name, example, count);
  }
}
