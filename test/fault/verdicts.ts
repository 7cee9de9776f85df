/** What can be wrong with a history. */
export type VerdictKind =
  /** An accepted alarm that one connection passed over. */
  | 'lost'
  /** Several in a row that one connection passed over, or a resumption refused, without a `gap`. */
  | 'silentGap'
  /** Accepted alarms between the last of one connection and the first of the next. */
  | 'lostAtHandOver'
  /** Accepted alarms beside those that a `gap` told. */
  | 'gapTooSmall'
  /** Accepted alarms at the end. */
  | 'notCaughtUp'
  /** An accepted alarm that none of those it was for received. */
  | 'absent'
  /** Delivered, but nobody pushed it. */
  | 'notPushed'
  /** Delivered, but each attempt to push it was refused for certain. */
  | 'rejectedDelivered'
  | 'otherOrganisation'
  | 'filteredOut'
  /** Not behind all that came before in the connection. */
  | 'disorder'
  | 'twiceInConnection'
  /** One cursor, two alarms. */
  | 'cursorReused'
  /** One cursor, another content than before that nobody pushed. */
  | 'contentChanged'
  /** One event, two cursors. */
  | 'acceptedTwice'
  /** Accepted behind an alarm that was pushed only after this one was accepted. */
  | 'acceptedOutOfOrder'
  /** Alarms up to the `lastEventId` again. */
  | 'resumedBehind'
  /** More alarms again than a durable subscription may have unacknowledged. */
  | 'tooManyAgain'
  /** `ready` names a place that was not reached. */
  | 'readyAhead'
  /** A heartbeat named a place before all up to there was sent. */
  | 'toldAhead'
  /** Acknowledged what was not received. */
  | 'ackAhead';

export interface Verdict {
  readonly kind: VerdictKind;
  /** Whose history says so; `producer` or `log` where it is no client's. */
  readonly where: string;
  readonly count: number;
  readonly example: string;
}

/** Collects verdicts: one a kind and place, with the first as the example. */
export class Verdicts {
  private readonly found = new Map<string, Verdict>();

  add(kind: VerdictKind, where: string, example: string, count = 1): void {
    const key = `${kind} ${where}`;
    const known = this.found.get(key);
    this.found.set(
      key,
      known === undefined ? { kind, where, count, example } : { ...known, count: known.count + count },
    );
  }

  list(): Verdict[] {
    return [...this.found.values()];
  }
}
