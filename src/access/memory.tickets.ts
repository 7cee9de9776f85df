import type { Principal } from './principal.js';
import { MAX_TICKETS, newTicket, TICKET_LIFE_MS, type Tickets } from './tickets.js';

interface Issued {
  readonly principal: Principal;
  readonly path: string;
  readonly expiresAtMs: number;
}

/** The tickets of one process; they end with it. */
export class MemoryTickets implements Tickets {
  /** Oldest first. */
  private readonly issued = new Map<string, Issued>();

  constructor(private readonly now: () => number = Date.now) {}

  async issue(principal: Principal, path: string): Promise<string | undefined> {
    this.forgetExpired();
    if (this.issued.size >= MAX_TICKETS) return undefined;
    const ticket = newTicket();
    this.issued.set(ticket, { principal, path, expiresAtMs: this.now() + TICKET_LIFE_MS });
    return ticket;
  }

  async look(ticket: string, path: string): Promise<Principal | undefined> {
    const found = this.issued.get(ticket);
    return found !== undefined && found.path === path && found.expiresAtMs > this.now() ? found.principal : undefined;
  }

  async redeem(ticket: string, path: string): Promise<Principal | undefined> {
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
