import type { IncomingMessage, ServerResponse } from 'node:http';
import { Injectable } from '@nestjs/common';
import { HttpAdapterHost } from '@nestjs/core';
import { type GatewayRoute, GatewayRoutes } from './gateway.routes.js';
import { type Refusal, refuseRequest } from './refusal.js';
import { UpgradeGate } from './upgrade.gate.js';

const UPGRADE_REQUIRED: Refusal = {
  status: 426,
  error: 'upgradeRequired',
  message: 'this is a WebSocket endpoint: connect with ws:// or wss:// instead of fetching it',
  headers: { Upgrade: 'websocket', Connection: 'Upgrade' },
};

type Next = () => void;

interface FastifyInstance {
  addHook(
    name: 'onRequest',
    hook: (request: { raw: IncomingMessage }, reply: { raw: ServerResponse; hijack(): void }, done: Next) => void,
  ): void;
}

interface HttpAdapter {
  getType(): string;
  use(handler: (request: IncomingMessage, response: ServerResponse, next: Next) => void): unknown;
  getInstance(): unknown;
}

/**
 * Answers a plain GET on the gateways' paths with what an upgrade would be answered: a browser shows its page only 1006
 * for a refused upgrade, and here it can ask why. Every other request goes on to the application.
 */
@Injectable()
export class PlainGetRoute {
  constructor(
    host: HttpAdapterHost,
    private readonly routes: GatewayRoutes,
    private readonly gate: UpgradeGate,
  ) {
    const adapter = host.httpAdapter as unknown as HttpAdapter | undefined;
    if (adapter === undefined) return;
    // Installed with the module, ahead of the application's own routes, since those may hold a catch-all.
    if (adapter.getType() === 'fastify') this.installOnFastify(adapter.getInstance() as FastifyInstance);
    else adapter.use((request, response, next) => this.take(request, response, () => {}, next));
  }

  private installOnFastify(fastify: FastifyInstance): void {
    fastify.addHook('onRequest', (request, reply, done) =>
      this.take(request.raw, reply.raw, () => reply.hijack(), done),
    );
  }

  private take(request: IncomingMessage, response: ServerResponse, claim: () => void, next: Next): void {
    const isRead = request.method === 'GET' || request.method === 'HEAD';
    const route = isRead ? this.routes.match(request.url ?? '') : undefined;
    if (route === undefined) {
      next();
      return;
    }
    claim();
    this.answer(request, response, route).catch((cause: unknown) =>
      response.destroy(cause instanceof Error ? cause : undefined),
    );
  }

  private async answer(request: IncomingMessage, response: ServerResponse, route: GatewayRoute): Promise<void> {
    const decision = await this.gate.decide(request, route, 'get');
    const isAdmitted = 'admission' in decision;
    if (isAdmitted) decision.release();
    refuseRequest(request, response, isAdmitted ? UPGRADE_REQUIRED : decision);
  }
}
