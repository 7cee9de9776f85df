import type { IncomingMessage } from 'node:http';
import { Inject, Injectable, Logger } from '@nestjs/common';
import { TICKET_LIFE_MS, TICKETS, type Tickets } from '../access/tickets.js';
import type { Principal } from '../access/principal.js';
import { stackOf } from '../push.causes.js';
import { GatewayRoutes } from './gateway.routes.js';
import type { Refusal } from './refusal.js';
import { UpgradeGate } from './upgrade.gate.js';

export interface TicketAnswer {
  readonly ticket: string;
  readonly expiresInMs: number;
}

/** Gives out one-time tickets to whoever could connect. */
@Injectable()
export class TicketOffice {
  private readonly logger = new Logger(TicketOffice.name);

  constructor(
    private readonly routes: GatewayRoutes,
    private readonly gate: UpgradeGate,
    @Inject(TICKETS) private readonly tickets: Tickets,
  ) {}

  /** `request` carries the credentials, `path` is the one that will be connected to, without query. */
  async issue(request: IncomingMessage, path: string): Promise<TicketAnswer | Refusal> {
    const route = path.includes('?') ? undefined : this.routes.match(path);
    if (route === undefined) {
      return { status: 400, error: 'path', message: 'path must be one of the gateways, without a query' };
    }
    const decision = await this.gate.decide(request, route, 'get');
    if (!('admission' in decision)) return decision;
    decision.release();
    const ticket = await this.ticketFor(decision.admission.session.principal, path);
    if (ticket !== undefined) return { ticket, expiresInMs: TICKET_LIFE_MS };
    return {
      status: 503,
      error: 'tickets',
      message: 'no ticket can be given out now: try again later',
      headers: { 'Retry-After': '5' },
    };
  }

  private async ticketFor(principal: Principal, path: string): Promise<string | undefined> {
    try {
      return await this.tickets.issue(principal, path);
    } catch (cause) {
      this.logger.error('no ticket could be stored', stackOf(cause));
      return undefined;
    }
  }
}
