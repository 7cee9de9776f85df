import { Inject, Injectable, type OnApplicationBootstrap, type OnApplicationShutdown } from '@nestjs/common';
import type { Principal } from '../access/principal.js';
import { type RevocationTarget, Revocations } from '../access/revocations.js';
import type { Client } from '../fan-out/client.js';
import { type CloseCode, CloseCodes } from '../protocol/close-codes.js';
import { CLOCK, type Clock } from '../push.clock.js';
import { PushOptions } from '../push.options.js';

export type { RevocationTarget } from '../access/revocations.js';

/** How often it is looked whose credentials have ended. */
const CHECK_INTERVAL_MS = 1000;

/** Who a connection is now: fresh credentials replace the principal. */
export class Session {
  constructor(public principal: Principal) {}
}

/** The principals of this node's connections: ends those whose credentials have ended or were revoked. */
@Injectable()
export class Sessions implements OnApplicationBootstrap, OnApplicationShutdown {
  private readonly byClient = new Map<Client, Session>();
  private timer: NodeJS.Timeout | undefined;

  constructor(
    private readonly options: PushOptions,
    private readonly revocations: Revocations,
    @Inject(CLOCK) private readonly now: Clock,
  ) {}

  onApplicationBootstrap(): void {
    this.timer = setInterval(() => this.endExpired(this.now()), CHECK_INTERVAL_MS);
    this.timer.unref();
  }

  onApplicationShutdown(): void {
    clearInterval(this.timer);
  }

  open(client: Client, session: Session): void {
    this.byClient.set(client, session);
    // Revoked while the upgrade was on its way.
    if (this.revocations.isRevoked(session.principal)) client.close(CloseCodes.token);
  }

  close(client: Client): void {
    this.byClient.delete(client);
  }

  of(client: Client): Session | undefined {
    return this.byClient.get(client);
  }

  /** Closes a user's connections to this node; returns how many. */
  disconnect(userName: string, closeCode: Pick<CloseCode, 'code' | 'reason'>): number {
    return this.closeWhere((principal) => principal.userName === userName, closeCode);
  }

  /** Ends the sessions of a user or of one token, and refuses the credentials that they had from now on. */
  revoke(target: RevocationTarget): number {
    this.revocations.add(target);
    return this.closeWhere((principal) => this.revocations.isRevoked(principal), CloseCodes.token);
  }

  private endExpired(nowMs: number): void {
    const latestMs = nowMs - this.options.tokenGraceMs;
    this.closeWhere(({ expiresAt }) => expiresAt !== undefined && expiresAt.getTime() < latestMs, CloseCodes.token);
  }

  private closeWhere(
    isMeant: (principal: Principal) => boolean,
    closeCode: Pick<CloseCode, 'code' | 'reason'>,
  ): number {
    let count = 0;
    for (const [client, { principal }] of this.byClient) {
      if (client.state !== 'open' || !isMeant(principal)) continue;
      client.close(closeCode);
      count += 1;
    }
    return count;
  }
}
