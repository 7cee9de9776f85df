import type { Handshake } from './handshake.js';
import type { Principal } from './principal.js';

/** The request to connect is refused. `reason` is a short word for logs and counters, `message` is told to the client. */
export class AuthenticationError extends Error {
  constructor(
    readonly reason: string,
    message: string,
    /** 401: come back with other credentials; 403: not from here. */
    readonly status: 401 | 403 = 401,
  ) {
    super(message);
    this.name = 'AuthenticationError';
  }
}

/**
 * Turns a handshake into a principal, or throws {@link AuthenticationError}. Runs before the upgrade is answered. Any
 * other error refuses the connection as well (503) and is logged.
 */
export abstract class Authenticator {
  abstract authenticate(handshake: Handshake): Principal | Promise<Principal>;

  /**
   * Turns the fresh token that an open connection has sent (`auth`) into a principal, or throws
   * {@link AuthenticationError}. It may not be another user's. Without an override no connection is refreshed.
   */
  refresh(_token: string, _current: Principal): Principal | Promise<Principal> {
    throw new AuthenticationError('refresh', 'tokens are not refreshed here: connect again');
  }
}
