import { PUSH_V1 } from '../protocol/messages.js';
import { withQuery } from './endpoint.js';
import type { ConnectionOptions } from './options.js';
import { messageOf, PushClientError } from './push-client.error.js';
import { surroundings } from './surroundings.js';

export type Source = string | (() => string | Promise<string>);

/** What a socket is made with. */
export interface Address {
  readonly url: string;
  readonly protocols: string[];
  readonly token: string | undefined;
}

/** A token is replaced so long before it ends, or after half of its life if that is shorter. */
const REFRESH_BEFORE_MS = 30_000;

/** The token or the tickets, from where the application has them. */
export class Credentials {
  readonly #options: ConnectionOptions;
  #token: string | undefined;
  #expiresAtMs = Infinity;
  #rejections = 0;

  constructor(options: ConnectionOptions) {
    this.#options = options;
  }

  /** In how many milliseconds a new token should be there; Infinity: never, or that cannot be told. */
  get refreshInMs(): number {
    if (typeof this.#options.token !== 'function') return Infinity;
    const leftMs = this.#expiresAtMs - Date.now();
    return leftMs - Math.min(REFRESH_BEFORE_MS, leftMs / 2);
  }

  /** The address with what lets the client in. Throws a PushClientError. */
  async addTo(url: string): Promise<Address> {
    const { token: source, ticket } = this.#options;
    const isGood = source === undefined || (this.#token !== undefined && this.#expiresAtMs > Date.now());
    const token = isGood ? this.#token : await this.renew();
    return {
      url: ticket === undefined ? url : withQuery(url, { ticket: await ask(ticket) }),
      protocols: token === undefined ? [PUSH_V1] : [PUSH_V1, `bearer.${token}`],
      token,
    };
  }

  /** Asks the application for a token. Throws a PushClientError. */
  async renew(): Promise<string> {
    const token = await ask(this.#options.token ?? '');
    this.#token = token;
    const expiresAtMs = expiryOf(token);
    // One that seems to have ended when it comes says that the clocks differ: the server's counts.
    this.#expiresAtMs = expiresAtMs > Date.now() ? expiresAtMs : Infinity;
    return token;
  }

  /** Nobody says whether the server takes it. */
  forget(): void {
    this.#token = undefined;
  }

  /** The server let the client in. */
  accepted(): void {
    this.#rejections = 0;
  }

  /** The server does not take them, or no longer. False: no others are to be had. */
  rejected(): boolean {
    const { token, ticket } = this.#options;
    this.forget();
    this.#rejections += 1;
    return typeof (ticket ?? token) === 'function' && this.#rejections < 2;
  }
}

async function ask(source: Source): Promise<string> {
  try {
    return typeof source === 'function' ? await source() : source;
  } catch (cause) {
    throw new PushClientError('token', `no token or ticket: ${messageOf(cause)}`, { cause });
  }
}

/** `exp` of a JSON Web Token (RFC 7519), which only the server verifies; Infinity where there is none. */
function expiryOf(token: string): number {
  try {
    const payload = (token.split('.')[1] ?? '').replaceAll('-', '+').replaceAll('_', '/');
    const { exp } = JSON.parse(surroundings.atob?.(payload) ?? '{}') as { exp?: unknown };
    return typeof exp === 'number' ? exp * 1000 : Infinity;
  } catch {
    // Not every token is a JSON Web Token.
    return Infinity;
  }
}
