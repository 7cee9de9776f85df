import type { IncomingMessage } from 'node:http';
import { Injectable } from '@nestjs/common';
import { TICKET_LIFE_MS, Tickets } from '../access/tickets.js';
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
  constructor(
    private readonly routes: GatewayRoutes,
    private readonly gate: UpgradeGate,
    private readonly tickets: Tickets,
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
    const ticket = this.tickets.issue(decision.admission.session.principal, path);
    if (ticket !== undefined) return { ticket, expiresInMs: TICKET_LIFE_MS };
    return {
      status: 503,
      error: 'tickets',
      message: 'too many tickets are open: try again later',
      headers: { 'Retry-After': '5' },
    };
  }
}
