import type { AfterClose } from '../protocol/close-codes.js';
import type { ClientEvent, ClientEvents, RefusedKey, ServerEvent, ServerEvents } from '../protocol/messages.js';
import type { PushClientError } from './push-client.error.js';

/** A raw datum as it was pushed. */
export interface RawDatum {
  readonly businessType: string;
  readonly businessId?: string;
  readonly series?: string;
  readonly [field: string]: unknown;
}

/** An alarm as it was pushed. */
export interface Alarm {
  readonly businessId: string;
  readonly businessType?: string;
  /** 1 to 1000; without one it counts as 1000. */
  readonly severity?: number;
  readonly conditionId?: string;
  readonly active?: boolean;
  readonly [field: string]: unknown;
}

/** One message of the server, as it stands on the wire. */
export interface PushMessage<T = unknown> {
  readonly event: string;
  /** On alarms: the place in the log. */
  readonly id?: string;
  readonly ref?: string | number;
  readonly data: T;
}

/** An alarm with its place in the log. */
export interface AlarmMessage<A = Alarm> extends PushMessage<A> {
  readonly id: string;
}

/**
 * - `connecting`: until the server's `ready`.
 * - `open`: data flow.
 * - `waiting`: for the next attempt, or for the network.
 * - `closed`: by `close()`. Final.
 * - `stopped`: the server said that connecting again would not help. Final; `error` says why.
 */
export type ConnectionState = 'connecting' | 'open' | 'waiting' | 'closed' | 'stopped';

export interface StateChange {
  readonly state: ConnectionState;
  readonly previous: ConnectionState;
  /** For people: `connected`, `offline`, the reason of the close, what the server answered. */
  readonly reason: string;
  /** While waiting: when the next attempt is made; absent while the network or the server's answer is waited for. */
  readonly retryInMs?: number | undefined;
  /** Why it was stopped. */
  readonly error?: PushClientError | undefined;
}

/** A socket that is no more. */
export interface SocketClose {
  /** 1006 also where the connection was given up because nothing was heard, or the network is gone. */
  readonly code: number;
  readonly reason: string;
  /** Whether `ready` had come. */
  readonly wasOpen: boolean;
  readonly advice: AfterClose;
}

type Shared = Exclude<ServerEvent, 'mark' | 'rawData' | 'subscribed' | 'unsubscribed' | 'conflated' | 'alarm' | 'gap'>;

type FromServer = { [E in ServerEvent]: [data: ServerEvents[E], message: PushMessage] };

/** What every connection tells, with the parameters of the listener. */
export interface ConnectionEvents extends Pick<FromServer, Shared> {
  state: [change: StateChange];
  close: [close: SocketClose];
  /** Where nobody listens it is shown in the console. */
  error: [error: PushClientError];
  /** So many messages wait for loops and for promises of listeners; the server holds back what follows. 0: no more. */
  lagging: [progress: { readonly waiting: number }];
  /** What the library does not know: an event, or a text of the application that is no push.v1 message. */
  message: [message: PushMessage | string];
}

export interface RawDataEvents<D = RawDatum> extends ConnectionEvents {
  rawData: [datum: D, message: PushMessage];
  subscribed: FromServer['subscribed'];
  unsubscribed: FromServer['unsubscribed'];
  conflated: FromServer['conflated'];
  /** Keys that the server does not give, or no longer; they are not asked for again. */
  refused: [keys: readonly RefusedKey[]];
}

export interface AlarmEvents<A = Alarm> extends ConnectionEvents {
  alarm: [alarm: A, message: AlarmMessage<A>];
  /** Alarms are missing. */
  gap: FromServer['gap'];
  /** The server does not know the durable subscription any more: what came after `requested` may be missing. */
  subscriptionLost: [place: { readonly requested: string }];
}

/** Sends a request over the connection that is open. A connection that ends before answers nothing. */
export type Ask = <E extends ClientEvent>(
  event: E,
  data: ClientEvents[E],
  onAnswer: (message: PushMessage) => void,
) => void;
