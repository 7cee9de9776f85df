import type { AfterClose } from '../protocol/close-codes.js';
import { adviceAfter, askWhy, NO_ANSWER } from './advice.js';
import type { Address, Credentials } from './credentials.js';
import type { ConnectionState, SocketClose, StateChange } from './events.js';
import type { ConnectionOptions } from './options.js';
import { messageOf, PushClientError, type PushClientErrorDetails } from './push-client.error.js';
import {
  after,
  isOffline,
  surroundings,
  watchNetwork,
  type WebSocketConstructor,
  type WebSocketLike,
} from './surroundings.js';

/** Without any message for so many heartbeats the connection counts as dead. */
const MISSED_HEARTBEATS = 2.5;
/** What waits behind a page that slept or was blocked is heard within this time. */
const WAKING_MS = 1000;
const NO_STATUS = 1006;
/** So many failures reach any longest delay. */
const MANY_FAILURES = 50;

const ATTEMPTS_A_TOKEN = 8;

/** What the link tells whoever has it. */
export interface LinkOwner {
  /** Of the next attempt. */
  url(): string | Promise<string>;
  entered(change: StateChange): void;
  closed(close: SocketClose): void;
  received(text: string): void;
  report(error: PushClientError): void;
}

/** A socket that is connected again until it is told to stop, by its owner or by the server. */
export class Link {
  readonly #endpoint: string;
  readonly #options: ConnectionOptions;
  readonly #credentials: Credentials;
  readonly #owner: LinkOwner;
  readonly #WebSocket: WebSocketConstructor;
  readonly #timeoutMs: number;
  readonly #unwatchNetwork: () => void;
  #state: ConnectionState = 'connecting';
  /** Rises with every change of state: what was begun in an earlier one does not count any more. */
  #turn = 0;
  #socket: WebSocketLike | undefined;
  #cancelTimer = () => {};
  #dueAtMs = 0;
  #failures = 0;
  #comeBackAtMs: number | undefined;
  #silenceLimitMs = Infinity;
  #lastHeardAtMs = 0;
  #isHeldBack = false;

  constructor(endpoint: string, options: ConnectionOptions, credentials: Credentials, owner: LinkOwner) {
    this.#endpoint = endpoint;
    this.#options = options;
    this.#credentials = credentials;
    this.#owner = owner;
    const { WebSocket = surroundings.WebSocket } = options;
    if (WebSocket === undefined)
      throw new TypeError('no WebSocket here: give one in the options, as of the package ws');
    this.#WebSocket = WebSocket;
    this.#timeoutMs = options.connectTimeoutMs ?? 15_000;
    this.#unwatchNetwork = watchNetwork(
      () => this.#networkChanged(),
      () => this.#woken(),
    );
    void this.#start();
  }

  get state(): ConnectionState {
    return this.#state;
  }

  /** Names the connection that is open. */
  get connection(): number {
    return this.#turn;
  }

  send(text: string): void {
    if (this.#state === 'open') this.#socket?.send(text);
  }

  /** The server greeted, and speaks at least so often. */
  opened(heartbeatMs: number): void {
    this.#failures = 0;
    this.#comeBackAtMs = undefined;
    this.#credentials.accepted();
    this.#isHeldBack = false;
    this.#silenceLimitMs = heartbeatMs > 0 ? heartbeatMs * MISSED_HEARTBEATS : Infinity;
    this.#enter('open', 'connected', this.#silenceLimitMs, this.#checkSilence);
  }

  /** The server will close, and says when to connect again. */
  comeBackIn(delayMs: number): void {
    this.#comeBackAtMs = Date.now() + delayMs;
  }

  /** While the server waits for this client, its silence means nothing. */
  holdBack(isHeldBack: boolean): void {
    this.#isHeldBack = isHeldBack;
    this.#lastHeardAtMs = Date.now();
  }

  /** An attempt that waits for its time is made now. */
  retryNow(): void {
    if (this.#state === 'waiting') this.#begin();
  }

  close(): void {
    this.#end('closed', 'closed');
  }

  get #isOver(): boolean {
    return this.#state === 'closed' || this.#state === 'stopped';
  }

  /** Behind the code that made the connection, which puts on its listeners. */
  async #start(): Promise<void> {
    await Promise.resolve();
    if (!this.#isOver) this.#begin();
  }

  #begin(): void {
    if (isOffline(this.#endpoint)) this.#enter('waiting', 'offline');
    else void this.#connect();
  }

  async #connect(): Promise<void> {
    const turn = this.#enter('connecting', 'connecting', this.#timeoutMs, () => this.#lose('no answer'));
    try {
      const { url, protocols } = await this.#address();
      if (turn === this.#turn) this.#open(url, protocols);
    } catch (cause) {
      if (turn !== this.#turn) return;
      if (cause instanceof PushClientError) {
        this.#owner.report(cause);
        if (turn === this.#turn) this.#wait(cause.message);
      } else {
        // Of the constructor: no URL, a token that no header can hold, or a page that may not connect there.
        this.#stop(messageOf(cause), { cause });
      }
    }
  }

  async #address(): Promise<Address> {
    return this.#credentials.addTo(await this.#owner.url());
  }

  #open(url: string, protocols: string[]): void {
    const socket = new this.#WebSocket(url, protocols);
    this.#socket = socket;
    // A close follows, and says more.
    socket.addEventListener('error', () => {});
    socket.addEventListener('message', ({ data }) => {
      if (socket !== this.#socket) {
        // React Native on Android cannot close one that still connects.
        socket.close();
        return;
      }
      this.#lastHeardAtMs = Date.now();
      if (typeof data === 'string') this.#owner.received(data);
    });
    socket.addEventListener('close', ({ code, reason }) => {
      // Null on older React Natives, where nobody gave one.
      if (socket === this.#socket) this.#closed(code, reason ?? '');
    });
  }

  #closed(code: number, reason: string): void {
    const wasOpen = this.#state === 'open';
    const advice = this.#options.afterClose?.(code, reason) ?? adviceAfter(code);
    if (!this.#drop(code, reason, advice)) return;
    const words = reason || `closed with ${code}`;
    switch (advice) {
      case 'stop':
        this.#stop(words, { code });
        break;
      case 'refresh':
        if (this.#credentials.rejected()) this.#wait(words);
        else this.#stop(words, { code });
        break;
      case 'back off':
        this.#failures = MANY_FAILURES;
        this.#wait(words);
        break;
      case 'retry':
        if (code === NO_STATUS && !wasOpen) void this.#askWhy();
        else this.#wait(words);
        break;
      default:
        advice satisfies never;
    }
  }

  async #askWhy(): Promise<void> {
    const turn = this.#enter('waiting', 'no connection');
    let refusal = NO_ANSWER;
    try {
      refusal = await askWhy(await this.#address(), this.#timeoutMs);
    } catch (cause) {
      if (turn === this.#turn) this.#owner.report(cause as PushClientError);
    }
    if (turn !== this.#turn) return;
    // It may be the token, where a page may not read why; or the server is away, whose clients should not all ask for tokens.
    if (refusal === NO_ANSWER && this.#failures % ATTEMPTS_A_TOKEN === 1) this.#credentials.forget();
    const { status, code, message, isFinal, retryAfterMs } = refusal;
    if (isFinal || (status === 401 && !this.#credentials.rejected())) this.#stop(message, { status, code });
    else this.#wait(message, retryAfterMs);
  }

  #wait(reason: string, retryAfterMs = 0): void {
    if (isOffline(this.#endpoint)) {
      this.#enter('waiting', 'offline');
      return;
    }
    this.#enter('waiting', reason, this.#comeBackDelayMs() ?? retryAfterMs + this.#randomDelayMs());
  }

  /** The server spreads its clients itself, once. */
  #comeBackDelayMs(): number | undefined {
    const atMs = this.#comeBackAtMs;
    this.#comeBackAtMs = undefined;
    return atMs && Math.max(0, atMs - Date.now());
  }

  /** Full jitter: who was cut in one instant does not come back in one (Brooker, Exponential Backoff and Jitter, 2015). */
  #randomDelayMs(): number {
    const { retryBaseMs = 1000, retryCapMs = 15_000 } = this.#options;
    const ceilingMs = Math.min(retryCapMs, retryBaseMs * 2 ** this.#failures);
    this.#failures += 1;
    return Math.random() * ceilingMs;
  }

  #networkChanged(): void {
    if (!isOffline(this.#endpoint)) this.retryNow();
    else if (!this.#isOver && this.#drop(NO_STATUS, 'offline', 'retry')) this.#enter('waiting', 'offline');
  }

  #woken(): void {
    if (surroundings.document?.visibilityState !== 'visible') return;
    this.retryNow();
    // Timers of a page that slept come late.
    if (this.#state === 'open') this.#arm(WAKING_MS, this.#checkSilence);
  }

  readonly #checkSilence = (): void => {
    const nowMs = Date.now();
    const leftMs = this.#isHeldBack ? this.#silenceLimitMs : this.#lastHeardAtMs + this.#silenceLimitMs - nowMs;
    if (leftMs > 0) this.#arm(leftMs, this.#checkSilence);
    else if (nowMs > this.#dueAtMs + WAKING_MS) this.#arm(WAKING_MS, this.#checkSilence);
    else this.#lose('no heartbeat');
  };

  /** Nothing was heard for too long. */
  #lose(reason: string): void {
    if (this.#drop(NO_STATUS, reason, 'retry')) this.#wait(reason);
  }

  /** Lets go of the socket, if there is one. False: meanwhile its owner has gone on otherwise. */
  #drop(code: number, reason: string, advice: AfterClose): boolean {
    const socket = this.#socket;
    const turn = this.#turn;
    this.#socket = undefined;
    if (socket === undefined) return true;
    // One that is closed already does not mind.
    socket.close();
    this.#owner.closed({ code, reason, wasOpen: this.#state === 'open', advice });
    return turn === this.#turn;
  }

  #stop(reason: string, details: PushClientErrorDetails): void {
    const error = new PushClientError('stopped', reason, details);
    this.#end('stopped', reason, error);
    this.#owner.report(error);
  }

  #end(state: 'closed' | 'stopped', reason: string, error?: PushClientError): void {
    if (this.#isOver) return;
    this.#unwatchNetwork();
    this.#socket?.close(1000);
    this.#socket = undefined;
    this.#enter(state, reason, Infinity, undefined, error);
  }

  /** The only place where the state changes. */
  #enter(
    state: ConnectionState,
    reason: string,
    delayMs = Infinity,
    run = () => this.retryNow(),
    error?: PushClientError,
  ): number {
    const previous = this.#state;
    this.#state = state;
    this.#turn += 1;
    const turn = this.#turn;
    this.#arm(delayMs, run);
    const retryInMs = state === 'waiting' && delayMs < Infinity ? delayMs : undefined;
    this.#owner.entered({ state, previous, reason, retryInMs, error });
    return turn;
  }

  /** Each state has at most one timer. */
  #arm(delayMs: number, run: () => void): void {
    this.#cancelTimer();
    this.#dueAtMs = Date.now() + delayMs;
    this.#cancelTimer = delayMs < Infinity ? after(delayMs, run) : () => {};
  }
}
