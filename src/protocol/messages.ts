/**
 * The two-way wire format `push.v1`: every message is one text frame of JSON, `{ "event", "id"?, "ref"?, "data" }`.
 * docs/PROTOCOL.md is its full text and uses these names.
 */
export const PUSH_V1 = 'push.v1';

/** A subscription wildcard: every businessId of one businessType. */
export const ANY_BUSINESS_ID = '*';

/** A (businessType, businessId) that a client subscribes to; `businessId: '*'` is the whole type. */
export interface KeyAddress {
  businessType: string;
  businessId: string;
}

/** A key to subscribe to, with what the client asks of it. */
export interface SubscriptionRequest extends KeyAddress {
  /** At most this many values of each series a second, the newest wins; greater than 0. Absent: every value. */
  maxFrequencyHz?: number;
  /** Send the last value of each series first. */
  snapshot?: boolean;
  /** Send up to this many last values of each series first, as far as the gateway keeps them. */
  history?: number;
}

/**
 * Why a key was not subscribed: the client has as many as it may, may not see it, or its snapshot would not fit the
 * client's outbox (subscribe without one, or to less at a time).
 */
export type RefusalReason = 'limit' | 'forbidden' | 'tooLarge';

export interface RefusedKey extends KeyAddress {
  reason: RefusalReason;
}

/** What the server sends on `push.v1`: the event and the type of its `data`. */
export interface ServerEvents {
  /** First message of every connection. `cursor` (alarms): the place after which this connection's alarms begin. */
  ready: { clientId: string; cursor?: string; resumed?: boolean; heartbeatMs: number };
  rawData: Record<string, unknown>;
  /** `id` is the alarm's cursor. */
  alarm: Record<string, unknown>;
  /** After `heartbeatMs` without another message. On alarms `id` is the position reached. */
  heartbeat: Record<string, never>;
  subscribed: { keys: SubscriptionRequest[]; refused: RefusedKey[] };
  unsubscribed: { keys: KeyAddress[] };
  /** To be sent back as it is, from the message handler: it tells the server how far the client has read. */
  mark: { n: number };
  /** `count` values were replaced by newer ones since `sinceMs` (Unix time) because the client was slow. */
  conflated: { count: number; sinceMs: number };
  /**
   * `active`: this node does not hear the others, so raw data that are pushed there are missing, and alarms come later;
   * not `active`: it hears them again. Never where there is one node only.
   */
  degraded: { active: boolean };
  /**
   * Alarms after `requested` are not there any more; those from `oldest`
   * on follow. `reason`: `epoch`, the log has begun anew; `retention`, they were removed; `ahead`, the log never got so far.
   */
  gap: { requested: string; oldest: string; reason: GapReason };
  /** The node shuts down: it closes this connection (1012), and the client connects again so long after this message. */
  drain: { retryAfterMs: number };
  /** What the client sent was not understood or not allowed. The connection goes on. */
  exception: { code: ExceptionCode; message: string };
}

export type ServerEvent = keyof ServerEvents;

export type GapReason = 'epoch' | 'retention' | 'ahead';

/**
 * `notDurable`: an `ack` needs a durable subscription. `ackAhead`: the alarm was not sent on this connection.
 * `authentication`: the token of an `auth` was not taken; the session goes on with the one before.
 */
export type ExceptionCode = 'badMessage' | 'unknownEvent' | 'notDurable' | 'ackAhead' | 'authentication';

/** What a client sends on `push.v1`: the event and the type of its `data`. */
export interface ClientEvents {
  subscribe: { keys: SubscriptionRequest[] };
  unsubscribe: { keys: KeyAddress[] };
  mark: { n: number };
  /** Everything up to this cursor was received; for durable subscriptions. */
  ack: { id: string };
  /** Fresh credentials for this connection, of the same user. Answered by `subscribed` with what is still allowed. */
  auth: { token: string };
}

export type ClientEvent = keyof ClientEvents;

/** The JSON text of one server message. `id` is a cursor, `ref` repeats the request's. */
export function serverMessage<E extends ServerEvent>(
  event: E,
  data: ServerEvents[E],
  extra: { id?: string; ref?: string | number } = {},
): string {
  return JSON.stringify({ event, ...extra, data });
}

/** Wraps JSON that is encoded already, so that a datum is stringified once for both wire formats. */
export function rawDataMessage(datumJson: string): string {
  return `{"event":"rawData","data":${datumJson}}`;
}

/** As {@link rawDataMessage}; the cursor's alphabet needs no escaping. */
export function alarmMessage(cursor: string, alarmJson: string): string {
  return `{"event":"alarm","id":"${cursor}","data":${alarmJson}}`;
}
