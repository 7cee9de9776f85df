/**
 * What producers and clients write down while faults are injected, one JSON line an event, in the order in which it
 * happened to them. Everything that is claimed afterwards is proved from these lines.
 */

/** What decides who gets an alarm. */
export interface AlarmFacts {
  readonly businessId: string;
  readonly businessType?: string;
  readonly severity?: number;
  readonly orgId?: string;
}

export type ProducerEvent =
  /** Before the first attempt. `content` is a digest of the alarm, its eventId included. */
  | { readonly type: 'pushed'; readonly eventId: string; readonly content: string; readonly facts: AlarmFacts }
  | { readonly type: 'accepted'; readonly eventId: string; readonly cursor: string }
  /** Given up, and each attempt was refused for certain. */
  | { readonly type: 'rejected'; readonly eventId: string }
  /** An attempt that nobody answered: it is tried again. */
  | { readonly type: 'unknown'; readonly eventId: string; readonly why: string }
  | { readonly type: 'fault'; readonly what: string };

export type ClientEvent =
  /** `ready` came: its cursor, and the `lastEventId` that was sent. */
  | { readonly type: 'connected'; readonly ready: string; readonly resumed: boolean; readonly after?: string }
  | { readonly type: 'refused'; readonly why: string }
  | { readonly type: 'delivered'; readonly id: string; readonly content: string }
  /** A heartbeat: everything up to here was sent. */
  | { readonly type: 'position'; readonly id: string }
  | { readonly type: 'gap'; readonly requested: string; readonly oldest: string; readonly reason: string }
  | { readonly type: 'acked'; readonly id: string }
  | { readonly type: 'closed'; readonly code: number; readonly why: string };

/** Who a client is and what it asked for. */
export interface Profile {
  readonly name: string;
  /** `*`: all; absent: only alarms without organisation. */
  readonly orgId?: string;
  readonly minSeverity?: number;
  readonly businessIds?: readonly string[];
  readonly businessTypes?: readonly string[];
  /** A durable subscription, which is sent at most so many alarms beyond the stored cursor. Absent: `lastEventId`. */
  readonly durable?: { readonly maxUnacked: number; readonly ackEvery: number };
  /** Begins with all that the log has. */
  readonly replaysAll?: boolean;
}

export interface ClientHistory {
  readonly profile: Profile;
  readonly events: Iterable<ClientEvent>;
}
