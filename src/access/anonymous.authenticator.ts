import { AuthenticationError, Authenticator } from './authenticator.js';
import type { Handshake } from './handshake.js';
import { hasForwardingHeader, isLoopbackHost } from './peer.js';
import type { Principal } from './principal.js';

const ANONYMOUS: Principal = { isAnonymous: true };

/**
 * Lets everybody on this machine in, and nobody else: the peer and the Host are loopback and no proxy has forwarded the
 * request. `allowAnonymous` lifts that, for networks where everybody may see everything.
 */
export class AnonymousAuthenticator extends Authenticator {
  constructor(private readonly allowAnonymous: boolean) {
    super();
  }

  authenticate({ request, isLoopbackPeer, host }: Handshake): Principal {
    if (this.allowAnonymous) return ANONYMOUS;
    if (isLoopbackPeer && isLoopbackHost(host) && !hasForwardingHeader(request)) return ANONYMOUS;
    throw new AuthenticationError(
      'anonymous',
      'without authentication only clients on this machine may connect: configure an authenticator, or allowAnonymous',
      403,
    );
  }
}
