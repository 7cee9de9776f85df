import { Inject, Injectable, Logger } from '@nestjs/common';
import { AuthenticationError, Authenticator } from '../access/authenticator.js';
import { withoutTokens } from '../access/bearer.token.js';
import { REVOCATIONS, type Revocations } from '../access/revocations.js';
import type { Client } from '../fan-out/client.js';
import type { Ref } from '../protocol/client-message.js';
import { reasonOf } from '../push.causes.js';
import { type Session, Sessions } from '../registry/sessions.js';
import { answerOf } from './deadline.js';
import { sendException } from './exception.js';

/** Takes the fresh token of an open connection, so that it need not be closed when the old one ends. */
@Injectable()
export class TokenRefresh {
  private readonly logger = new Logger(TokenRefresh.name);
  private readonly pending = new WeakSet<Client>();

  constructor(
    private readonly authenticator: Authenticator,
    @Inject(REVOCATIONS) private readonly revocations: Revocations,
    private readonly sessions: Sessions,
  ) {}

  /** `onRefreshed` runs once the session has its new principal; otherwise the client gets an `exception`. */
  refresh(client: Client, token: string, ref: Ref | undefined, onRefreshed: () => void): void {
    const session = this.sessions.of(client);
    if (session === undefined) return;
    if (this.pending.has(client)) {
      sendException(client, 'authentication', 'the token before is still being looked at', ref);
      return;
    }
    this.pending.add(client);
    this.replace(session, token)
      .then(onRefreshed)
      .catch((cause: unknown) => sendException(client, 'authentication', this.faultOf(cause), ref))
      .finally(() => this.pending.delete(client));
  }

  private async replace(session: Session, token: string): Promise<void> {
    const { principal: current } = session;
    // A synchronous throw is a rejection too.
    const refreshed = await answerOf(Promise.resolve().then(() => this.authenticator.refresh(token, current)));
    if (refreshed.userName !== current.userName) {
      throw new AuthenticationError('otherUser', "the token is another user's: connect again for that");
    }
    if (this.revocations.isRevoked(refreshed)) throw new AuthenticationError('revoked', 'the token was revoked');
    session.principal = refreshed;
  }

  private faultOf(cause: unknown): string {
    if (cause instanceof AuthenticationError) return cause.message;
    this.logger.error(`the authenticator failed: ${withoutTokens(reasonOf(cause))}`);
    return 'authentication is not available now: try again later';
  }
}
