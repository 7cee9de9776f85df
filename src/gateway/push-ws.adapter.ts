import type { IncomingMessage, Server } from 'node:http';
import type { Duplex } from 'node:stream';
import { Logger, type WebSocketAdapter } from '@nestjs/common';
import { WsAdapter } from '@nestjs/platform-ws';
import { stackOf } from '../push.causes.js';
import { PushOptions } from '../push.options.js';
import { Drain } from './drain.js';
import { PUSH_GATEWAY } from './gateway.metadata.js';
import { type GatewayName, type GatewayRoute, GatewayRoutes } from './gateway.routes.js';
import { HttpConnections } from './http-connections.js';
import { PushServer, PushSocket, suitableExtensions } from './push.socket.js';
import { type Refusal, refuseUpgrade } from './refusal.js';
import { NOT_SERVING, UpgradeGate } from './upgrade.gate.js';

/** What the adapter needs of an application; every INestApplication has it. */
export interface ApplicationHost {
  getHttpServer(): unknown;
  get<T>(token: abstract new (...args: never[]) => T, options: { strict: false }): T;
}

export interface PushWsAdapterOptions {
  /** Serves the application's other gateways, as `new IoAdapter(app)`. Absent: they are served by ws, as WsAdapter does. */
  delegate?: WebSocketAdapter;
}

/** The only thing that the gate leaves to ws, which would answer it in words of its own. */
const MALFORMED_EXTENSIONS: Refusal = {
  status: 400,
  error: 'extensions',
  message: 'the Sec-WebSocket-Extensions header is malformed, or asks of permessage-deflate what it does not know',
};

type UpgradeListener = (request: IncomingMessage, socket: Duplex, head: Buffer) => void;
type CreateOptions = Record<string, unknown> & { path?: string };

/** The application's own HTTP port, in Nest's terms. */
const APPLICATION_PORT = 0;

/**
 * Nest's WsAdapter with path parameters and with every check before the upgrade is answered. It looks at each upgrade
 * first: what is ours goes through the gate, everything else is handed on untouched to the application's other gateways
 * or to the delegate.
 *
 * `app.useWebSocketAdapter(new PushWsAdapter(app, { delegate: new IoAdapter(app) }))`
 */
export class PushWsAdapter extends WsAdapter {
  private readonly log = new Logger(PushWsAdapter.name);
  private readonly pushServers = new Map<GatewayName, PushServer>();
  private readonly delegateListeners: UpgradeListener[] = [];
  /** Sockets whose upgrade is still being decided. */
  private readonly pendingSockets = new Set<Duplex>();
  private stopListening: (() => void) | undefined;

  constructor(
    private readonly app: ApplicationHost,
    private readonly options: PushWsAdapterOptions = {},
  ) {
    super(app);
  }

  override create(port: number, options: CreateOptions = {}): unknown {
    const server = this.requireHttpServer();
    const gateway = options[PUSH_GATEWAY];
    if (gateway === 'rawData' || gateway === 'alarm') return this.createPushServer(gateway, server);
    if (this.options.delegate === undefined) return super.create(port, options as never);
    return this.createByDelegate(this.options.delegate, server, port, options);
  }

  override bindClientConnect(server: never, callback: (...args: unknown[]) => void): void {
    if (this.isOurs(server)) super.bindClientConnect(server, callback);
    else this.options.delegate?.bindClientConnect(server, callback);
  }

  /** Our gateways listen to their sockets themselves: an rxjs pipeline a client would cost more than the client. */
  override bindMessageHandlers(client: never, handlers: never, transform: never): void {
    if ((client as unknown) instanceof PushSocket) return;
    if (this.options.delegate === undefined) super.bindMessageHandlers(client, handlers, transform);
    else this.options.delegate.bindMessageHandlers(client, handlers, transform);
  }

  override bindClientDisconnect(client: never, callback: (...args: unknown[]) => void): void {
    if ((client as unknown) instanceof PushSocket) return;
    if (this.options.delegate === undefined) super.bindClientDisconnect(client, callback);
    else this.options.delegate.bindClientDisconnect?.(client, callback);
  }

  override async close(server: never): Promise<void> {
    // An HTTP server does not close while one of its sockets is open.
    for (const socket of this.pendingSockets) refuseUpgrade(socket, NOT_SERVING);
    // It tracks no clients, which the WsAdapter of NestJS 11 would end.
    if ((server as unknown) instanceof PushServer) await closed(server);
    else if (this.options.delegate === undefined) await super.close(server);
    else await this.options.delegate.close(server);
  }

  override async dispose(): Promise<void> {
    this.stopListening?.();
    this.stopListening = undefined;
    await super.dispose();
    await (this.options.delegate as Partial<{ dispose(): Promise<void> }> | undefined)?.dispose?.();
  }

  /** Replaces WsAdapter's own listener, which destroys whatever it does not know, without an answer. */
  protected override ensureHttpServerExists(port: number, httpServer?: Server): Server | undefined {
    if (port !== APPLICATION_PORT) return super.ensureHttpServerExists(port, httpServer);
    if (httpServer === undefined || this.httpServersRegistry.has(port)) return undefined;
    this.httpServersRegistry.set(port, httpServer);
    limitHeaderTime(httpServer, this.app.get(PushOptions, { strict: false }).headersTimeoutMs);
    const listener: UpgradeListener = (request, socket, head) => this.takeUpgrade(request, socket, head);
    httpServer.on('upgrade', listener);
    const connections = new HttpConnections(httpServer);
    this.stopListening = () => {
      httpServer.off('upgrade', listener);
      connections.end(this.app.get(Drain, { strict: false }).leftMs);
    };
    return httpServer;
  }

  private isOurs(server: unknown): boolean {
    return this.options.delegate === undefined || server instanceof PushServer;
  }

  private requireHttpServer(): Server {
    // Not known yet when the module installed this adapter, while the application was being created.
    const server = this.app.getHttpServer() as Server;
    Reflect.set(this, 'httpServer', server);
    this.ensureHttpServerExists(APPLICATION_PORT, server);
    return server;
  }

  private createPushServer(gateway: GatewayName, httpServer: Server): PushServer {
    this.ensureHttpServerExists(APPLICATION_PORT, httpServer);
    const server = new PushServer(this.app.get(PushOptions, { strict: false }));
    server.on('error', (error) => this.log.error(error));
    server.on('wsClientError', (_error: Error, socket: Duplex) => refuseUpgrade(socket, MALFORMED_EXTENSIONS));
    this.pushServers.set(gateway, server);
    return server;
  }

  /**
   * A delegate listens to the HTTP server itself, and most end every upgrade that they do not know. So its listeners are
   * taken off, and are called for what is not ours.
   */
  private createByDelegate(
    delegate: WebSocketAdapter,
    httpServer: Server,
    port: number,
    options: CreateOptions,
  ): unknown {
    const before = new Set(httpServer.listeners('upgrade'));
    const server: unknown = delegate.create(port, options);
    for (const listener of httpServer.listeners('upgrade') as UpgradeListener[]) {
      if (before.has(listener)) continue;
      httpServer.off('upgrade', listener);
      this.delegateListeners.push(listener.bind(httpServer));
    }
    return server;
  }

  private takeUpgrade(request: IncomingMessage, socket: Duplex, head: Buffer): void {
    const route = this.app.get(GatewayRoutes, { strict: false }).match(request.url ?? '');
    const server = route === undefined ? undefined : this.pushServers.get(route.gateway);
    if (route === undefined || server === undefined) {
      this.handOn(request, socket, head);
      return;
    }
    // Without a listener a reset while the gate still decides would end the process.
    socket.on('error', ignoreError);
    this.answerUpgrade(server, route, request, socket, head).catch((cause: unknown) => {
      this.log.error('an upgrade failed', stackOf(cause));
      socket.destroy();
    });
  }

  private async answerUpgrade(
    server: PushServer,
    route: GatewayRoute,
    request: IncomingMessage,
    socket: Duplex,
    head: Buffer,
  ): Promise<void> {
    this.pendingSockets.add(socket);
    const gate = this.app.get(UpgradeGate, { strict: false });
    const decision = await gate.decide(request, route, 'upgrade').finally(() => this.pendingSockets.delete(socket));
    // Whoever went away meanwhile has given its place back with its socket.
    if (socket.destroyed || socket.writableEnded) return;
    if (!('admission' in decision)) {
      refuseUpgrade(socket, decision);
      return;
    }
    offerSuitableExtensions(request);
    server.handleUpgrade(request, socket, head, (webSocket) => {
      socket.off('error', ignoreError);
      server.emit('connection', webSocket, request, decision.admission);
    });
  }

  private handOn(request: IncomingMessage, socket: Duplex, head: Buffer): void {
    if (this.delegateListeners.length > 0) {
      for (const listener of this.delegateListeners) listener(request, socket, head);
      return;
    }
    const server = this.findApplicationServer(request);
    if (server !== undefined) {
      server.handleUpgrade(request, socket, head, (webSocket) => server.emit('connection', webSocket, request));
      return;
    }
    if (this.app.get(PushOptions, { strict: false }).unmatchedUpgrade === 'ignore') return;
    socket.on('error', ignoreError);
    refuseUpgrade(socket, { status: 404, error: 'path', message: 'there is no WebSocket endpoint at this path' });
  }

  /** The application's own ws gateway for this path, found as WsAdapter finds it. */
  private findApplicationServer(request: IncomingMessage): ApplicationServer | undefined {
    const path = pathOf(request);
    const servers = (this.wsServersRegistry.get(APPLICATION_PORT) ?? []) as unknown as ApplicationServer[];
    return servers.find((server) => server.path === path);
  }
}

interface ApplicationServer extends Pick<PushServer, 'handleUpgrade' | 'emit'> {
  readonly path: string;
}

function closed(server: PushServer): Promise<void> {
  return new Promise((resolve, reject) => {
    server.close((cause) => (cause === undefined ? resolve() : reject(cause)));
  });
}

function pathOf(request: IncomingMessage): string | undefined {
  try {
    return new URL(request.url ?? '', `ws://${request.headers.host}/`).pathname;
  } catch {
    return undefined;
  }
}

/** Node looks every 30 s by default, and lets a request's headers take a minute. */
function limitHeaderTime(server: Server & { connectionsCheckingInterval?: number }, headersTimeoutMs: number): void {
  if (headersTimeoutMs === 0) return;
  server.headersTimeout = headersTimeoutMs;
  // Read when the server begins to listen.
  server.connectionsCheckingInterval = 1000;
}

function offerSuitableExtensions({ headers }: IncomingMessage): void {
  const extensions = suitableExtensions(headers['sec-websocket-extensions'] ?? '');
  if (extensions === '') delete headers['sec-websocket-extensions'];
  else headers['sec-websocket-extensions'] = extensions;
}

function ignoreError(): void {}
