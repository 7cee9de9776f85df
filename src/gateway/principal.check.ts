import { Inject, Injectable, Logger } from '@nestjs/common';
import { AuthenticationError, Authenticator } from '../access/authenticator.js';
import { withoutTokens } from '../access/bearer.token.js';
import { GuardedAuthorizer } from '../access/guarded.authorizer.js';
import type { Handshake } from '../access/handshake.js';
import type { Principal } from '../access/principal.js';
import type { PushAuthorizer } from '../access/push.authorizer.js';
import { REVOCATIONS, type Revocations } from '../access/revocations.js';
import { TICKETS, type Tickets } from '../access/tickets.js';
import { stackOf } from '../push.causes.js';
import type { RequestKind } from './admission.js';
import { answerOf } from './deadline.js';
import type { Refusal } from './refusal.js';

/** Who it is that connects, and whether this path is for them. */
@Injectable()
export class PrincipalCheck {
  private readonly logger = new Logger(PrincipalCheck.name);

  constructor(
    private readonly authenticator: Authenticator,
    @Inject(GuardedAuthorizer) private readonly authorizer: PushAuthorizer,
    @Inject(TICKETS) private readonly tickets: Tickets,
    @Inject(REVOCATIONS) private readonly revocations: Revocations,
  ) {}

  async authenticate(handshake: Handshake, kind: RequestKind): Promise<Principal | Refusal> {
    try {
      const principal = (await this.principalOfTicket(handshake, kind)) ?? (await this.askAuthenticator(handshake));
      return this.revoked(principal) ?? principal;
    } catch (cause) {
      if (cause instanceof AuthenticationError) {
        if (cause.status === 401) return unauthorized(cause.reason, cause.message);
        return { status: cause.status, error: cause.reason, message: cause.message };
      }
      this.logger.error(`authentication failed: ${withoutTokens(stackOf(cause))}`);
      return { status: 503, error: 'authentication', message: 'authentication is not available now: try again later' };
    }
  }

  /** Whether this principal may have this path. */
  async forbidden(principal: Principal, handshake: Handshake): Promise<Refusal | undefined> {
    const isOtherUser =
      handshake.gateway === 'rawData' &&
      principal.userName !== undefined &&
      principal.userName !== handshake.parameters['userName'];
    if (isOtherUser) {
      return {
        status: 403,
        error: 'forbiddenUser',
        message: 'the userName of the path is not the one that is authenticated',
      };
    }
    try {
      if ((await answerOf(this.authorizer.mayConnect(principal, handshake))) === true) return undefined;
      return { status: 403, error: 'forbiddenKey', message: 'this may not be seen with these credentials' };
    } catch (cause) {
      this.logger.error(`the authorizer failed: ${withoutTokens(stackOf(cause))}`);
      return { status: 503, error: 'authorisation', message: 'authorisation is not available now: try again later' };
    }
  }

  /** May come while a connection that was let in is made ready. */
  revoked(principal: Principal): Refusal | undefined {
    return this.revocations.isRevoked(principal) ? REVOKED : undefined;
  }

  /** A plain GET asks only, and does not use a ticket up. */
  private async principalOfTicket({ query, request }: Handshake, kind: RequestKind): Promise<Principal | undefined> {
    const ticket = query.get('ticket');
    if (ticket === null) return undefined;
    const path = request.url?.split('?', 1)[0] ?? '';
    const principal = await (kind === 'get' ? this.tickets.look(ticket, path) : this.tickets.redeem(ticket, path));
    if (principal !== undefined) return principal;
    throw new AuthenticationError(
      'ticket',
      'this ticket was used, has expired, or is for another path: fetch a new one',
    );
  }

  private askAuthenticator(handshake: Handshake): Promise<Principal> {
    // A synchronous throw is a rejection too.
    return answerOf(Promise.resolve().then(() => this.authenticator.authenticate(handshake)));
  }
}

function unauthorized(error: string, message: string): Refusal {
  return { status: 401, error, message, headers: { 'WWW-Authenticate': 'Bearer' } };
}

const REVOKED = unauthorized('revoked', 'these credentials were revoked: fetch new ones');
