import type { Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterAll, afterEach } from '@jest/globals';
import {
  type DynamicModule,
  type INestApplication,
  Module,
  type ModuleMetadata,
  type Provider,
  type Type,
  type WebSocketAdapter,
} from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { type NestExpressApplication } from '@nestjs/platform-express';
import { FastifyAdapter, type NestFastifyApplication } from '@nestjs/platform-fastify';
import type { ClientOptions } from 'ws';
import { ConnectionLimits } from '../../src/access/connection-limits.js';
import { AlarmRegistry, PushModule, type PushModuleOptions, PushService, RawDataRegistry } from '../../src/index.js';
import { within } from './deadline.js';
import { PushClient } from './push.client.js';

export type Platform = 'express' | 'fastify';
export const PLATFORMS: readonly Platform[] = ['express', 'fastify'];

type Application = INestApplication;

@Module({})
class TestModule {}

const running = new Set<TestGateway>();
const shared = new Set<TestGateway>();

afterEach(async () => {
  await Promise.all([...running].map((gateway) => gateway.close()));
});

afterAll(async () => {
  await Promise.all([...shared].map((gateway) => gateway.close()));
});

/** Begins an application with PushModule: `await gatewayOn('express').withOptions({ … }).start()`. Ends with the test. */
export function gatewayOn(platform: Platform): GatewayBuilder {
  return new GatewayBuilder(platform);
}

export class GatewayBuilder {
  /** In memory, so that applications side by side do not share a folder. */
  private options: PushModuleOptions = { alarmLogPath: '' };
  private pushModule: (() => DynamicModule) | undefined;
  private readonly imports: NonNullable<ModuleMetadata['imports']> = [];
  private readonly providers: Provider[] = [];
  private readonly controllers: Type[] = [];
  private readonly preparations: ((app: Application) => void)[] = [];
  private createAdapter: ((app: Application) => WebSocketAdapter) | undefined;

  constructor(private readonly platform: Platform) {}

  withOptions(options: PushModuleOptions): this {
    this.options = { ...this.options, ...options };
    return this;
  }

  /** In the place of `PushModule.forRoot(options)`. */
  withPushModule(create: () => DynamicModule): this {
    this.pushModule = create;
    return this;
  }

  withImports(...imports: NonNullable<ModuleMetadata['imports']>): this {
    this.imports.push(...imports);
    return this;
  }

  withProviders(...providers: Provider[]): this {
    this.providers.push(...providers);
    return this;
  }

  withControllers(...controllers: Type[]): this {
    this.controllers.push(...controllers);
    return this;
  }

  /** Set by the application, in the place of the one that the module sets. */
  withAdapter(create: (app: Application) => WebSocketAdapter): this {
    this.createAdapter = create;
    return this;
  }

  /** Called between creation and start. */
  prepared(preparation: (app: Application) => void): this {
    this.preparations.push(preparation);
    return this;
  }

  async start(): Promise<TestGateway> {
    const gateway = await this.create();
    await gateway.listen();
    return gateway;
  }

  /** Ends with the last test of the file; each leaves it as it was. */
  async startForAll(): Promise<TestGateway> {
    const gateway = await this.start();
    running.delete(gateway);
    shared.add(gateway);
    return gateway;
  }

  /** Created and prepared, not started. */
  async create(): Promise<TestGateway> {
    const root: DynamicModule = {
      module: TestModule,
      imports: [this.pushModule?.() ?? PushModule.forRoot(this.options), ...this.imports],
      providers: this.providers,
      controllers: this.controllers,
    };
    const settings = { logger: false, abortOnError: false } as const;
    const app: Application =
      this.platform === 'fastify'
        ? await NestFactory.create<NestFastifyApplication>(root, new FastifyAdapter(), settings)
        : await NestFactory.create<NestExpressApplication>(root, settings);
    const gateway = new TestGateway(app);
    running.add(gateway);
    if (this.createAdapter !== undefined) app.useWebSocketAdapter(this.createAdapter(app));
    for (const prepare of this.preparations) prepare(app);
    return gateway;
  }
}

/** A running application, with what tests ask of it. */
export class TestGateway {
  private readonly clients: PushClient[] = [];
  private closing: Promise<void> | undefined;

  constructor(readonly app: INestApplication) {}

  get httpServer(): Server {
    return this.app.getHttpServer() as Server;
  }

  get port(): number {
    return (this.httpServer.address() as AddressInfo).port;
  }

  get push(): PushService {
    return this.app.get(PushService);
  }

  get rawData(): RawDataRegistry {
    return this.app.get(RawDataRegistry);
  }

  get alarms(): AlarmRegistry {
    return this.app.get(AlarmRegistry);
  }

  /** Places taken by connections, pending upgrades among them. */
  get placesTaken(): number {
    return this.app.get(ConnectionLimits, { strict: false }).count;
  }

  async listen(): Promise<void> {
    await within(this.app.listen(0, '127.0.0.1'), 'the application starts');
  }

  url(path: string, scheme: 'ws' | 'http' = 'ws'): string {
    return `${scheme}://127.0.0.1:${this.port}${path}`;
  }

  /** A client on the plain wire. */
  async connect(path: string, options?: ClientOptions): Promise<PushClient> {
    return this.keep(await PushClient.connect(this.url(path), options));
  }

  /** A client on `push.v1`, past its `ready`. */
  async connectPushV1(path: string, options?: ClientOptions): Promise<PushClient> {
    return this.keep(await PushClient.connectPushV1(this.url(path), options));
  }

  /** The clientId of the only client whose userName is this. */
  clientIdOf(userName: string): string {
    const [client, ...others] = this.rawData.clients().filter((each) => each.userName === userName);
    if (client === undefined || others.length > 0) throw new Error(`no client or several of ${userName}`);
    return client.clientId;
  }

  /** What each of these raw-data clients was sent until now, in order. */
  async heardBy<N extends string>(clients: Readonly<Record<N, PushClient>>): Promise<Record<N, string[]>> {
    return heard(clients, (sentinel) => this.rawData.broadcast(sentinel));
  }

  /** As {@link heardBy}, for alarm clients. What was pushed has to be routed already. */
  async alarmsHeardBy<N extends string>(clients: Readonly<Record<N, PushClient>>): Promise<Record<N, string[]>> {
    return heard(clients, (sentinel) => this.alarms.broadcast(sentinel));
  }

  close(): Promise<void> {
    return (this.closing ??= this.end());
  }

  private keep(client: PushClient): PushClient {
    this.clients.push(client);
    return client;
  }

  private async end(): Promise<void> {
    running.delete(this);
    await Promise.all(this.clients.map((client) => client.cut()));
    await within(this.app.close(), 'the application closes', 15_000);
  }
}

let sentinels = 0;

/** Everything ahead of a last text that all are sent, so that nothing has to be waited for that does not come. */
async function heard<N extends string>(
  clients: Readonly<Record<N, PushClient>>,
  broadcast: (sentinel: string) => void,
): Promise<Record<N, string[]>> {
  const sentinel = `the end ${(sentinels += 1)}`;
  broadcast(sentinel);
  const entries = Object.entries<PushClient>(clients).map(
    async ([name, client]) => [name, await client.upTo(sentinel)] as const,
  );
  return Object.fromEntries(await Promise.all(entries)) as Record<N, string[]>;
}
