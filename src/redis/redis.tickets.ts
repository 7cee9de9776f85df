import { createHash } from 'node:crypto';
import type { Principal } from '../access/principal.js';
import { MAX_TICKETS, newTicket, TICKET_LIFE_MS, type Tickets } from '../access/tickets.js';
import { withinMs } from './deadline.js';
import type { RedisConnection } from './redis.connection.js';

export interface RedisTicketsOptions {
  /** Default {@link TICKET_LIFE_MS}. */
  readonly lifeMs?: number;
  /** Tickets of this node that may be open. Default {@link MAX_TICKETS}. */
  readonly maxTickets?: number;
  readonly now?: () => number;
}

/** While it waits, so does a handshake. */
const DEADLINE_MS = 2000;

interface Stored {
  readonly path: string;
  readonly principal: Readonly<Record<string, unknown>>;
}

/** Tickets that are good on all nodes. A principal travels as JSON: what JSON does not carry is lost on the way. */
export class RedisTickets implements Tickets {
  private readonly lifeMs: number;
  private readonly maxTickets: number;
  private readonly now: () => number;
  /** When the tickets of this node expire at the latest, oldest first; where they were used is not known here. */
  private readonly issuedUntilMs = new Map<string, number>();

  constructor(
    private readonly connection: RedisConnection,
    { lifeMs = TICKET_LIFE_MS, maxTickets = MAX_TICKETS, now = Date.now }: RedisTicketsOptions = {},
  ) {
    this.lifeMs = lifeMs;
    this.maxTickets = maxTickets;
    this.now = now;
  }

  async issue(principal: Principal, path: string): Promise<string | undefined> {
    this.forgetExpired();
    if (this.issuedUntilMs.size >= this.maxTickets) return undefined;
    const ticket = newTicket();
    this.issuedUntilMs.set(ticket, this.now() + this.lifeMs);
    const stored: Stored = { path, principal: toJson(principal) };
    const { client } = this.connection.commands;
    const options = { PX: this.lifeMs, NX: true } as const;
    await withinMs(client.set(this.keyOf(ticket), JSON.stringify(stored), options), DEADLINE_MS);
    return ticket;
  }

  async look(ticket: string, path: string): Promise<Principal | undefined> {
    return principalIn(await withinMs(this.connection.commands.client.get(this.keyOf(ticket)), DEADLINE_MS), path);
  }

  async redeem(ticket: string, path: string): Promise<Principal | undefined> {
    return principalIn(await withinMs(this.connection.commands.client.getDel(this.keyOf(ticket)), DEADLINE_MS), path);
  }

  /** Whoever can read Redis, or a copy of it, cannot connect with what is found there. */
  private keyOf(ticket: string): string {
    return this.connection.key('ticket', createHash('sha256').update(ticket).digest('base64url'));
  }

  private forgetExpired(): void {
    for (const [ticket, untilMs] of this.issuedUntilMs) {
      if (untilMs > this.now()) return;
      this.issuedUntilMs.delete(ticket);
    }
  }
}

function principalIn(text: string | null, path: string): Principal | undefined {
  if (text === null) return undefined;
  const stored = JSON.parse(text) as Stored;
  return stored.path === path ? fromJson(stored.principal) : undefined;
}

/** Dates as Unix time; null is one that is none. */
function toJson({ expiresAt, issuedAt, ...others }: Principal): Stored['principal'] {
  return { ...others, expiresAt: expiresAt?.getTime(), issuedAt: issuedAt?.getTime() };
}

function fromJson({ expiresAt, issuedAt, ...others }: Stored['principal']): Principal {
  return {
    ...others,
    ...(expiresAt === undefined ? {} : { expiresAt: dateOf(expiresAt) }),
    ...(issuedAt === undefined ? {} : { issuedAt: dateOf(issuedAt) }),
  };
}

function dateOf(json: unknown): Date {
  return new Date(typeof json === 'number' ? json : Number.NaN);
}
