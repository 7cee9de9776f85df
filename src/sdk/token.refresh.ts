import type { ServerEvents } from '../protocol/messages.js';
import type { Credentials } from './credentials.js';
import type { Ask } from './events.js';
import { PushClientError } from './push-client.error.js';
import { after } from './surroundings.js';

/** Where a new token is due and there is none, or it was not taken. */
const ASK_AGAIN_MS = 5000;
/** However soon a token ends. */
const ASK_AT_MOST_EVERY_MS = 1000;

/** Sends an open connection's fresh token before the old one ends. */
export class TokenRefresh {
  readonly #credentials: Credentials;
  readonly #ask: Ask;
  readonly #onRefreshed: (answer: ServerEvents['subscribed']) => void;
  readonly #onFault: (error: PushClientError) => void;
  #cancel = () => {};
  /** Rises with each connection. */
  #turn = 0;

  constructor(
    credentials: Credentials,
    ask: Ask,
    onRefreshed: (answer: ServerEvents['subscribed']) => void,
    onFault: (error: PushClientError) => void,
  ) {
    this.#credentials = credentials;
    this.#ask = ask;
    this.#onRefreshed = onRefreshed;
    this.#onFault = onFault;
  }

  /** A connection is open, with the token that there is. */
  begin(): void {
    this.#plan(this.#credentials.refreshInMs);
  }

  end(): void {
    this.#turn += 1;
    this.#cancel();
  }

  #plan(delayMs: number): void {
    this.#cancel();
    if (delayMs < Infinity) this.#cancel = after(Math.max(ASK_AT_MOST_EVERY_MS, delayMs), () => void this.#refresh());
  }

  async #refresh(): Promise<void> {
    const turn = this.#turn;
    try {
      const token = await this.#credentials.renew();
      if (turn === this.#turn) this.#send(token);
    } catch (cause) {
      if (!(cause instanceof PushClientError)) throw cause;
      if (turn === this.#turn) this.#failed(cause);
    }
  }

  #send(token: string): void {
    this.#ask('auth', { token }, ({ event, data }) => {
      if (event === 'exception') {
        const { code, message } = data as ServerEvents['exception'];
        this.#failed(new PushClientError('token', message, { code }));
      } else {
        this.begin();
        this.#onRefreshed(data as ServerEvents['subscribed']);
      }
    });
  }

  #failed(error: PushClientError): void {
    this.#plan(ASK_AGAIN_MS);
    this.#onFault(error);
  }
}
