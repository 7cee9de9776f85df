import { Inject, Injectable, type OnApplicationBootstrap, type OnApplicationShutdown } from '@nestjs/common';
import type { Principal } from '../access/principal.js';
import { REVOCATIONS, type Revocations, type RevocationTarget } from '../access/revocations.js';
import { CLUSTER, type Cluster, type ClusterCommand } from '../bus/cluster.js';
import type { Client } from '../fan-out/client.js';
import { type CloseCode, CloseCodes } from '../protocol/close-codes.js';
import { CLOCK, type Clock } from '../push.clock.js';
import { PushOptions } from '../push.options.js';

export type { RevocationTarget } from '../access/revocations.js';

/** Whose connections are closed: all of a user, or one. */
export type DisconnectTarget = { readonly userName: string } | { readonly clientId: string };

type CloseArguments = Pick<CloseCode, 'code' | 'reason'>;

const DISCONNECT: ClusterCommand<{ readonly target: DisconnectTarget } & CloseArguments> = { name: 'disconnect' };

/** How often it is looked whose credentials have ended. */
const CHECK_INTERVAL_MS = 1000;

/** Who a connection is now: fresh credentials replace the principal. */
export class Session {
  constructor(public principal: Principal) {}
}

/**
 * The principals of this node's connections: ends those whose credentials have ended or were revoked, and those that any node
 * was told to close.
 */
@Injectable()
export class Sessions implements OnApplicationBootstrap, OnApplicationShutdown {
  private readonly byClient = new Map<Client, Session>();
  private timer: NodeJS.Timeout | undefined;
  private stops: (() => void)[] = [];

  constructor(
    private readonly options: PushOptions,
    @Inject(REVOCATIONS) private readonly revocations: Revocations,
    @Inject(CLUSTER) private readonly cluster: Cluster,
    @Inject(CLOCK) private readonly now: Clock,
  ) {}

  onApplicationBootstrap(): void {
    this.timer = setInterval(() => this.endExpired(this.now()), CHECK_INTERVAL_MS);
    this.timer.unref();
    this.stops = [
      this.revocations.onLearned(() => this.endRevoked()),
      this.cluster.onTold(DISCONNECT, ({ target, ...closeCode }) => this.closeMeant(target, closeCode)),
    ];
  }

  onApplicationShutdown(): void {
    clearInterval(this.timer);
    for (const stop of this.stops) stop();
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

  /** Closes connections to this node, returns how many, and tells the other nodes to do the same. */
  disconnect(target: DisconnectTarget, { code, reason }: CloseArguments): number {
    this.cluster.tell(DISCONNECT, { target, code, reason });
    return this.closeMeant(target, { code, reason });
  }

  /**
   * Ends the sessions of a user or of one token, and refuses the credentials that they had from now on. Resolves once all
   * nodes will know, to how many were ended on this one.
   */
  async revoke(target: RevocationTarget): Promise<number> {
    const isStored = this.revocations.add(target);
    const count = this.endRevoked();
    await isStored;
    return count;
  }

  private endRevoked(): number {
    return this.closeWhere((principal) => this.revocations.isRevoked(principal), CloseCodes.token);
  }

  private closeMeant(target: DisconnectTarget, closeCode: CloseArguments): number {
    return 'clientId' in target
      ? this.closeWhere((_, { clientId }) => clientId === target.clientId, closeCode)
      : this.closeWhere(({ userName }) => userName === target.userName, closeCode);
  }

  private endExpired(nowMs: number): void {
    const latestMs = nowMs - this.options.tokenGraceMs;
    this.closeWhere(({ expiresAt }) => expiresAt !== undefined && expiresAt.getTime() < latestMs, CloseCodes.token);
  }

  private closeWhere(isMeant: (principal: Principal, client: Client) => boolean, closeCode: CloseArguments): number {
    let count = 0;
    for (const [client, { principal }] of this.byClient) {
      // One that drains is still written what waits for it.
      if (client.state === 'closing' || client.state === 'closed' || !isMeant(principal, client)) continue;
      client.close(closeCode);
      count += 1;
    }
    return count;
  }
}
