import { type ClientEvent, type ClientEvents, type ServerEvent, type ServerEvents } from '../protocol/messages.js';
import { Credentials } from './credentials.js';
import { Delivery } from './delivery.js';
import type { Ask, ConnectionEvents, ConnectionState, PushMessage, StateChange } from './events.js';
import { Link } from './link.js';
import type { ConnectionOptions } from './options.js';
import type { PushClientError } from './push-client.error.js';
import { ASYNC_ITERATOR } from './surroundings.js';
import { TokenRefresh } from './token.refresh.js';

/** Complete by its type. What is not in it is the application's, or a later server's. */
const SERVER_EVENTS: Readonly<Record<ServerEvent, true>> = {
  ready: true,
  rawData: true,
  alarm: true,
  heartbeat: true,
  subscribed: true,
  unsubscribed: true,
  mark: true,
  conflated: true,
  gap: true,
  drain: true,
  degraded: true,
  exception: true,
};

type Listener<Parameters> = (...parameters: Extract<Parameters, unknown[]>) => unknown;

/**
 * A connection on `push.v1` that lives until `close()`, over as many sockets as it takes. It connects by itself, behind
 * the code that made it: listeners that are put on at once miss nothing. `T` is what a loop over it gets.
 */
export abstract class PushConnection<Events extends ConnectionEvents, T> implements AsyncIterable<T> {
  /** @internal */
  protected readonly delivery: Delivery<T>;
  readonly #tokenRefresh: TokenRefresh;
  readonly #link: Link;
  readonly #answers = new Map<number, (message: PushMessage) => void>();
  #lastRef = 0;
  #greeting: ServerEvents['ready'] | undefined;

  protected constructor(endpoint: string, options: ConnectionOptions) {
    const report = (error: PushClientError) => this.report(error);
    const credentials = new Credentials(options);
    this.#link = new Link(endpoint, options, credentials, {
      url: () => this.url(endpoint),
      entered: (change) => this.#entered(change),
      closed: (close) => this.emit('close', close),
      received: (text) => this.#received(text),
      report,
    });
    this.delivery = new Delivery(options.maxQueued ?? 10_000, (isHeldBack) => this.#link.holdBack(isHeldBack));
    this.#tokenRefresh = new TokenRefresh(credentials, this.ask, (answer) => this.refreshed(answer), report);
  }

  get state(): ConnectionState {
    return this.#link.state;
  }

  /** Of the connection that is open: another one after each reconnect. */
  get clientId(): string | undefined {
    return this.#greeting?.clientId;
  }

  /**
   * Calls the listener at each such event, until what is returned is called. A promise that a listener returns is waited
   * for before the server is told that this client has read so far, and before an alarm's place is stored.
   *
   * The events that all connections have are a signature of their own, so that it can be called on a union of connections.
   */
  on<E extends keyof ConnectionEvents>(event: E, listener: Listener<ConnectionEvents[E]>): () => void;
  on<E extends keyof Events & string>(event: E, listener: Listener<Events[E]>): () => void;
  on(event: string, listener: (...parameters: never[]) => unknown): () => void {
    return this.delivery.listeners.on(event, listener);
  }

  /** Sends an event of the application's own, for its `messages$`. False: the connection is not open. */
  send(event: string, data: unknown): boolean {
    this.#link.send(JSON.stringify({ event, data }));
    return this.state === 'open';
  }

  /** Makes an attempt that waits for its time now: an app may know that the network is back, or that it is looked at. */
  retryNow(): void {
    this.#link.retryNow();
  }

  /** For good. Loops end, and what was not answered is rejected. */
  close(): void {
    this.beforeClose();
    this.#link.close();
  }

  /**
   * A loop over what comes from now on. The server is told what the loop has dealt with, so it does not run ahead of it.
   * `close()` ends it; where the server stops the connection, it throws the PushClientError.
   */
  [ASYNC_ITERATOR](): AsyncGenerator<T, undefined> {
    return this.delivery.stream();
  }

  /** @internal */
  report(error: PushClientError): void {
    this.delivery.listeners.report(error);
  }

  /** @internal Of the next attempt. */
  protected abstract url(endpoint: string): string | Promise<string>;
  /** @internal The server has greeted a new connection. */
  protected abstract begin(ready: ServerEvents['ready']): void;
  /** @internal A message of an event that is the server's. */
  protected abstract take(message: PushMessage): void;
  /** @internal The connection is not open any more. */
  protected pause(): void {}
  /** @internal A fresh token was taken. */
  protected refreshed(_answer: ServerEvents['subscribed']): void {}
  /** @internal */
  protected beforeClose(): void {}
  /** @internal Closed, or stopped by an error. */
  protected end(_error: PushClientError | undefined): void {}

  /** @internal */
  protected readonly ask: Ask = <E extends ClientEvent>(
    event: E,
    data: ClientEvents[E],
    onAnswer: (message: PushMessage) => void,
  ) => {
    const ref = (this.#lastRef += 1);
    this.#answers.set(ref, onAnswer);
    this.#link.send(JSON.stringify({ event, ref, data }));
  };

  /** @internal To the listeners of the message's event. */
  protected tell(message: PushMessage): void {
    this.delivery.listeners.emit(message.event, message.data, message);
  }

  /** @internal */
  protected emit<E extends keyof ConnectionEvents>(event: E, ...parameters: ConnectionEvents[E]): void {
    this.delivery.listeners.emit(event, ...parameters);
  }

  #entered(change: StateChange): void {
    const { state, previous, error } = change;
    if (previous === 'open') {
      this.#greeting = undefined;
      this.#answers.clear();
      this.#tokenRefresh.end();
      this.pause();
    }
    if (state === 'closed' || state === 'stopped') {
      this.delivery.end(error);
      this.end(error);
    }
    if (state === 'open' && this.#greeting !== undefined) {
      this.delivery.begin();
      this.begin(this.#greeting);
      this.#tokenRefresh.begin();
    }
    this.emit('state', change);
  }

  #received(text: string): void {
    const message = parse(text);
    if (message === undefined) this.emit('message', text);
    else if (!Object.hasOwn(SERVER_EVENTS, message.event)) this.emit('message', message);
    else if (message.event === 'mark') this.#returnMark(text);
    else this.#take(message);
  }

  #returnMark(text: string): void {
    const { connection } = this.#link;
    this.delivery.returnMark(() => {
      if (connection === this.#link.connection) this.#link.send(text);
    });
  }

  #take(message: PushMessage): void {
    if (message.event === 'ready' && this.state === 'connecting') {
      this.#greeting = message.data as ServerEvents['ready'];
      this.#link.opened(this.#greeting.heartbeatMs);
      this.tell(message);
      return;
    }
    if (message.event === 'drain') this.#link.comeBackIn((message.data as ServerEvents['drain']).retryAfterMs);
    this.take(message);
    const onAnswer = this.#answers.get(Number(message.ref));
    this.#answers.delete(Number(message.ref));
    onAnswer?.(message);
  }
}

/** Undefined: no message of push.v1. */
function parse(text: string): PushMessage | undefined {
  try {
    const message = JSON.parse(text) as PushMessage | null;
    return typeof message?.event === 'string' ? message : undefined;
  } catch {
    // A text that the application broadcasts need not be JSON.
    return undefined;
  }
}
