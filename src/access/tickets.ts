import { randomBytes } from 'node:crypto';
import type { Principal } from './principal.js';

/** How long a ticket is good for: the time between fetching it and opening the connection. */
export const TICKET_LIFE_MS = 30_000;
/** Over it nobody is given one: each is good for seconds only. */
const MAX_TICKETS = 100_000;

interface Issued {
  readonly principal: Principal;
  readonly path: string;
  readonly expiresAtMs: number;
}

/**
 * One-time tickets for pages that keep their token out of URLs and subprotocols: fetched with the token, bound to one path,
 * and used up by the connection (`?ticket=`).
 */
export class Tickets {
  /** Oldest first. */
  private readonly issued = new Map<string, Issued>();

  constructor(private readonly now: () => number = Date.now) {}

  /** `path` as it will be connected to, without query. Undefined: too many are open. */
  issue(principal: Principal, path: string): string | undefined {
    this.forgetExpired();
    if (this.issued.size >= MAX_TICKETS) return undefined;
    const ticket = randomBytes(24).toString('base64url');
    this.issued.set(ticket, { principal, path, expiresAtMs: this.now() + TICKET_LIFE_MS });
    return ticket;
  }

  /** Whose ticket it is, without using it up. */
  look(ticket: string, path: string): Principal | undefined {
    const found = this.issued.get(ticket);
    return found !== undefined && found.path === path && found.expiresAtMs > this.now() ? found.principal : undefined;
  }

  /** As {@link look}; whatever the answer, the ticket is used up. */
  redeem(ticket: string, path: string): Principal | undefined {
    const principal = this.look(ticket, path);
    this.issued.delete(ticket);
    return principal;
  }

  private forgetExpired(): void {
    for (const [ticket, { expiresAtMs }] of this.issued) {
      if (expiresAtMs > this.now()) return;
      this.issued.delete(ticket);
    }
  }
}
