import { randomBytes } from 'node:crypto';
import type { Principal } from './principal.js';

/** Injection token of the {@link Tickets}. */
export const TICKETS = Symbol('TICKETS');

/** How long a ticket is good for: the time between fetching it and opening the connection. */
export const TICKET_LIFE_MS = 30_000;
/** Of one node. Over it nobody is given one: each is good for seconds only. */
export const MAX_TICKETS = 100_000;

/**
 * One-time tickets for pages that keep their token out of URLs and subprotocols: fetched with the token, bound to one path,
 * and used up by the connection (`?ticket=`).
 *
 * Guarantees: a ticket that one node issued is good on every node, once, for {@link TICKET_LIFE_MS}, on its path. All of
 * them reject where the backend does not answer; then a ticket may be used up.
 */
export interface Tickets {
  /** `path` as it will be connected to, without query. Undefined: too many are open. */
  issue(principal: Principal, path: string): Promise<string | undefined>;

  /** Whose ticket it is, without using it up. */
  look(ticket: string, path: string): Promise<Principal | undefined>;

  /** As {@link look}; whatever the answer, the ticket is used up. */
  redeem(ticket: string, path: string): Promise<Principal | undefined>;
}

/** Cannot be guessed, and fits a URL. */
export function newTicket(): string {
  return randomBytes(24).toString('base64url');
}
