import { once } from 'node:events';
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import type { IncomingMessage } from 'node:http';
import type { Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { All, Controller, Get, Injectable, Module, type Type } from '@nestjs/common';
import { IoAdapter } from '@nestjs/platform-socket.io';
import { WsAdapter } from '@nestjs/platform-ws';
import { MessageBody, SubscribeMessage, WebSocketGateway } from '@nestjs/websockets';
import { describe, expect, test } from '@jest/globals';
import { io, type Socket as SocketIoClient } from 'socket.io-client';
import {
  PushConfigurationError,
  PushModule,
  type PushModuleOptions,
  PushOptions,
  type PushOptionsFactory,
  PushService,
  PushWsAdapter,
} from '../../src/index.js';
import { within } from '../support/deadline.js';
import { gatewayOn, type Platform, PLATFORMS, type TestGateway } from '../support/gateway.fixture.js';
import { rawGet, rawUpgrade } from '../support/raw-upgrade.js';

const RAW_DATA_PATH = '/ws/rowdata/dev/1/ann';

/** Both gateways work, and reach a client that is connected to them. */
async function expectToPush(gateway: TestGateway, rawDataPath = RAW_DATA_PATH, alarmPath = '/ws/alarm'): Promise<void> {
  const raw = await gateway.connect(rawDataPath);
  const alarm = await gateway.connectPushV1(alarmPath);
  expect(gateway.push.pushRawData({ businessType: 'dev', businessId: '1' })).toEqual({ matched: 1 });
  expect(await raw.next()).toBe('{"businessType":"dev","businessId":"1"}');
  await gateway.push.pushAlarm({ businessId: '1' });
  expect((await alarm.nextEvent('alarm')).data).toEqual({ businessId: '1' });
}

@WebSocketGateway({ path: '/ws/own' })
class OwnGateway {
  connections = 0;

  handleConnection(): void {
    this.connections += 1;
  }

  @SubscribeMessage('echo')
  echo(@MessageBody() body: unknown): unknown {
    return { event: 'echo', data: body };
  }
}

@WebSocketGateway({ path: '/ws/rowdata/x' })
class NeighbourGateway {
  @SubscribeMessage('echo')
  echo(): unknown {
    return { event: 'echo', data: 'neighbour' };
  }
}

@WebSocketGateway()
class SocketIoGateway {
  @SubscribeMessage('echo')
  echo(@MessageBody() body: unknown): unknown {
    return { event: 'echo', data: body };
  }
}

@WebSocketGateway({ namespace: 'orders' })
class SocketIoNamespaceGateway {
  @SubscribeMessage('echo')
  echo(@MessageBody() body: unknown): unknown {
    return { event: 'echo', data: { orders: body } };
  }
}

const ioUrl = (gateway: TestGateway) => gateway.url('/', 'http');
async function ioEcho(client: SocketIoClient, body: unknown): Promise<unknown> {
  const answer = new Promise<unknown>((resolve) => client.once('echo', resolve));
  client.emit('echo', body);
  return within(answer, 'the answer of Socket.IO');
}
async function withIo(
  url: string,
  transports: string[],
  use: (client: SocketIoClient) => Promise<void>,
): Promise<void> {
  const client = io(url, { transports, reconnection: false, forceNew: true });
  try {
    await within(
      new Promise<void>((resolve, reject) => {
        client.once('connect', resolve);
        client.once('connect_error', reject);
      }),
      'Socket.IO connects',
    );
    await use(client);
  } finally {
    client.disconnect();
  }
}
const besideSocketIo = (platform: Platform, ...gateways: Type[]) =>
  gatewayOn(platform)
    .withProviders(...gateways)
    .withAdapter((app) => new PushWsAdapter(app, { delegate: new IoAdapter(app) }));

describe.each(PLATFORMS)('the module on %s', (platform) => {
  describe('options', () => {
    test('forRoot without any', async () => {
      const folder = await mkdtemp(join(tmpdir(), 'push-gateway-'));
      const workingDirectory = process.cwd();
      process.chdir(folder);
      try {
        const gateway = await gatewayOn(platform)
          .withPushModule(() => PushModule.forRoot())
          .start();
        expect(gateway.app.get(PushOptions)).toEqual(new PushOptions());
        await expectToPush(gateway);
        expect((await readdir(join(folder, 'data/alarm-log'))).length).toBeGreaterThan(0);
        await gateway.close();
      } finally {
        process.chdir(workingDirectory);
        await rm(folder, { recursive: true });
      }
    });

    @Injectable()
    class Settings implements PushOptionsFactory {
      async createPushOptions(): Promise<PushModuleOptions> {
        return { heartbeatIntervalMs: 7000, alarmLogPath: '' };
      }
    }

    @Module({ providers: [Settings], exports: [Settings] })
    class SettingsModule {}

    test.each([
      [
        'useFactory',
        () => PushModule.forRootAsync({ useFactory: async () => ({ heartbeatIntervalMs: 7000, alarmLogPath: '' }) }),
      ],
      [
        'useFactory with inject',
        () =>
          PushModule.forRootAsync({
            imports: [SettingsModule],
            inject: [Settings],
            useFactory: (settings: Settings) => settings.createPushOptions(),
          }),
      ],
      ['useClass', () => PushModule.forRootAsync({ useClass: Settings })],
      ['useExisting', () => PushModule.forRootAsync({ imports: [SettingsModule], useExisting: Settings })],
    ])('forRootAsync with %s', async (_how, create) => {
      const gateway = await gatewayOn(platform).withPushModule(create).start();
      expect(gateway.app.get(PushOptions).heartbeatIntervalMs).toBe(7000);
      expect(gateway.app.get(PushOptions).heartbeatTimeoutMs).toBe(45_000);
      await expectToPush(gateway);
    });

    test('every bad option is listed at boot, in one error', async () => {
      const bad = {
        rawDataPath: '/ws/rowdata/:type',
        alarmPath: 'alarm',
        flushIntervalMs: -1,
        heartbeatIntervalMs: 50_000,
        delivery: 'sometimes',
        maxConnections: 0,
        allowedOrigins: ['https://a.example/path'],
        unmatchedUpgrade: 'drop',
        deliveryFilter: 'no function',
        authenticator: {},
        notAnOption: 1,
      } as unknown as PushModuleOptions;
      for (const create of [() => PushModule.forRoot(bad), () => PushModule.forRootAsync({ useFactory: () => bad })]) {
        const created = gatewayOn(platform).withPushModule(create).create();
        const fault: unknown = await created.catch((cause: unknown) => cause);
        expect(fault).toBeInstanceOf(PushConfigurationError);
        const { problems, message } = fault as PushConfigurationError;
        for (const name of Object.keys(bad)) {
          expect(problems.filter((problem) => problem.includes(name))).not.toEqual([]);
        }
        expect(message).toContain('PushModule cannot start');
      }
    });

    test.each<[string, PushModuleOptions, string]>([
      ['a timeout below the interval', { heartbeatIntervalMs: 1000, heartbeatTimeoutMs: 1000 }, 'heartbeatTimeoutMs'],
      ['a window over the outbox', { inFlightBytes: 4096, maxOutboxBytes: 2048 }, 'inFlightBytes'],
      ['every origin without authentication', { allowedOrigins: ['*'] }, 'allowedOrigins'],
      [
        'one path for both gateways',
        { rawDataPath: '/a/:businessType/:businessId/:userName', alarmPath: '/a/b/c/d' },
        'alarmPath',
      ],
      ['an address that is none', { trustProxy: ['10.0.0.0/99'] }, 'trustProxy'],
    ])('contradictions: %s', async (_what, options, name) => {
      const created = gatewayOn(platform).withOptions(options).create();
      await expect(created).rejects.toThrow(PushConfigurationError);
      await expect(created).rejects.toThrow(name);
    });

    test('a second forRoot says what to do instead', async () => {
      @Module({ imports: [PushModule.forRoot({ maxConnections: 5 })] })
      class FeatureModule {}
      const created = gatewayOn(platform).withImports(FeatureModule).create();
      await expect(created).rejects.toThrow(PushConfigurationError);
      await expect(created).rejects.toThrow('more than once');
    });

    test('two applications in one process each have their own', async () => {
      const one = await gatewayOn(platform).start();
      const two = await gatewayOn(platform).start();
      const client = await one.connect(RAW_DATA_PATH);
      expect(two.push.pushRawData({ businessType: 'dev', businessId: '1' })).toEqual({ matched: 0 });
      expect(await one.heardBy({ client })).toEqual({ client: [] });
    });
  });

  test('PushService is injected where a module imports one that exports PushModule', async () => {
    @Injectable()
    class Source {
      constructor(readonly push: PushService) {}
    }
    @Module({ imports: [PushModule.forRoot({ alarmLogPath: '' })], exports: [PushModule] })
    class SharedModule {}
    @Module({ imports: [SharedModule], providers: [Source] })
    class FeatureModule {}
    const gateway = await gatewayOn(platform)
      .withPushModule(() => ({ module: SharedModule }))
      .withImports(FeatureModule)
      .start();
    expect(gateway.app.get(Source, { strict: false }).push).toBe(gateway.app.get(PushService, { strict: false }));
  });

  describe('the adapter', () => {
    test('may be set by the application, with or without a need', async () => {
      const gateway = await gatewayOn(platform)
        .withAdapter((app) => new PushWsAdapter(app))
        .withProviders(OwnGateway)
        .start();
      await expectToPush(gateway);
      const own = await gateway.connect('/ws/own');
      expect(await own.ask('echo', 5)).toEqual({ event: 'echo', data: 5 });
    });

    test("beside the application's own gateways on ws", async () => {
      const gateway = await gatewayOn(platform).withProviders(OwnGateway, NeighbourGateway).start();
      const own = await gateway.connect('/ws/own?token=1');
      expect(await own.ask('echo', { deep: [1] })).toEqual({ event: 'echo', data: { deep: [1] } });
      const neighbour = await gateway.connect('/ws/rowdata/x');
      expect((await neighbour.ask('echo', 1)).data).toBe('neighbour');
      // As WsAdapter does, the application's own paths are compared after normalising.
      const normalised = await gateway.connect('/ws/../ws/rowdata/./x');
      expect((await normalised.ask('echo', 1)).data).toBe('neighbour');
      await expectToPush(gateway);
      gateway.rawData.broadcast('not for others');
      expect(await own.ask('echo', 'last')).toEqual({ event: 'echo', data: 'last' });
      expect(gateway.app.get(OwnGateway).connections).toBe(1);
      expect(gateway.rawData.count() + gateway.alarms.count()).toBe(2);
    });

    test('beside a gateway on Socket.IO: by polling, by websocket, and by an upgrade from one to the other', async () => {
      const gateway = await besideSocketIo(platform, SocketIoGateway).start();
      await expectToPush(gateway);
      await withIo(ioUrl(gateway), ['polling'], async (client) => expect(await ioEcho(client, 1)).toBe(1));
      await withIo(ioUrl(gateway), ['websocket'], async (client) => expect(await ioEcho(client, 2)).toBe(2));
      await withIo(ioUrl(gateway), ['polling', 'websocket'], async (client) => {
        const { engine } = client.io;
        if (engine.transport.name !== 'websocket') {
          await within(new Promise((resolve) => engine.once('upgrade', resolve)), 'the upgrade to websocket');
        }
        expect(engine.transport.name).toBe('websocket');
        expect(await ioEcho(client, 3)).toBe(3);
      });
      expect(gateway.rawData.count()).toBe(1);
      expect((await rawUpgrade(gateway.port, { path: '/ws/rowdata/a/*/u' })).status).toBe(400);
    });

    test('beside several gateways on Socket.IO, with namespaces', async () => {
      const gateway = await besideSocketIo(platform, SocketIoGateway, SocketIoNamespaceGateway).start();
      await withIo(ioUrl(gateway), ['websocket'], async (client) => expect(await ioEcho(client, 1)).toBe(1));
      await withIo(gateway.url('/orders', 'http'), ['websocket'], async (client) =>
        expect(await ioEcho(client, 1)).toEqual({ orders: 1 }),
      );
      await expectToPush(gateway);
    });

    test.each<[string, (app: TestGateway['app']) => WsAdapter | IoAdapter]>([
      ['WsAdapter', (app) => new WsAdapter(app)],
      ['IoAdapter', (app) => new IoAdapter(app)],
    ])('%s in its place is an error at boot that says what to do', async (_name, create) => {
      const gateway = await gatewayOn(platform).withAdapter(create).create();
      await expect(gateway.app.init()).rejects.toThrow(PushConfigurationError);
    });
  });

  describe('upgrades that nobody takes', () => {
    test('are answered 404 as JSON', async () => {
      const gateway = await gatewayOn(platform).start();
      expect(await rawUpgrade(gateway.port, { path: '/vite-hmr' })).toMatchObject({
        status: 404,
        json: { statusCode: 404, error: 'path', message: expect.any(String) },
      });
    });

    test('are left to other listeners with unmatchedUpgrade: ignore', async () => {
      const gateway = await gatewayOn(platform).withOptions({ unmatchedUpgrade: 'ignore' }).start();
      const taken: string[] = [];
      gateway.httpServer.on('upgrade', (request: IncomingMessage, socket: Socket) => {
        taken.push(request.url ?? '');
        if (request.url !== '/vite-hmr') return;
        socket.end('HTTP/1.1 418 I am a teapot\r\nContent-Length: 0\r\n\r\n');
      });
      expect((await rawUpgrade(gateway.port, { path: '/vite-hmr' })).status).toBe(418);
      await expectToPush(gateway);
      expect(taken).toContain('/vite-hmr');
    });
  });

  test('paths are what the options say, and then the usual ones are nobody', async () => {
    const gateway = await gatewayOn(platform)
      .withOptions({ rawDataPath: '/live/v1.0/:businessType/:businessId/:userName', alarmPath: '/live/alarms' })
      .start();
    await expectToPush(gateway, '/live/v1.0/dev/1/ann', '/live/alarms');
    for (const path of [RAW_DATA_PATH, '/ws/alarm', '/live/v1x0/dev/1/ann']) {
      expect((await rawUpgrade(gateway.port, { path })).status).toBe(404);
    }
    expect((await rawGet(gateway.port, { path: '/live/alarms' })).status).toBe(426);
    expect((await rawGet(gateway.port, { path: '/ws/alarm' })).status).toBe(404);
  });

  describe("the application's own HTTP", () => {
    @Controller()
    class HelloController {
      @Get('hello')
      hello(): string {
        return 'hello';
      }
    }

    @Controller()
    class CatchAllController {
      @Get('hello')
      hello(): string {
        return 'hello';
      }

      @All(platform === 'fastify' ? '*' : '{*path}')
      everything(): { caught: boolean } {
        return { caught: true };
      }
    }

    test('a global prefix and a catch-all leave the plain GET of our paths to us, and nothing else', async () => {
      const gateway = await gatewayOn(platform)
        .withControllers(CatchAllController)
        .prepared((app) => app.setGlobalPrefix('api'))
        .start();
      for (const path of [RAW_DATA_PATH, '/ws/alarm']) {
        expect((await rawGet(gateway.port, { path })).status).toBe(426);
      }
      expect(await (await fetch(gateway.url('/api/hello', 'http'))).text()).toBe('hello');
      expect(await (await fetch(gateway.url('/api/ws/alarm', 'http'))).json()).toEqual({ caught: true });
      await expectToPush(gateway);
    });

    test('a catch-all without a prefix does not see our paths, but all others', async () => {
      const gateway = await gatewayOn(platform).withControllers(CatchAllController).start();
      expect((await rawGet(gateway.port, { path: RAW_DATA_PATH })).status).toBe(426);
      expect((await rawGet(gateway.port, { path: '/ws/alarm' })).status).toBe(426);
      for (const path of ['/ws/alarms', '/ws/rowdata/dev/1', '/']) {
        expect(await (await fetch(gateway.url(path, 'http'))).json()).toEqual({ caught: true });
      }
      const posted = await fetch(gateway.url('/ws/alarm', 'http'), { method: 'POST', body: '{}' });
      expect(await posted.json()).toEqual({ caught: true });
      await expectToPush(gateway);
    });

    test('a middleware that the application adds is not in the way', async () => {
      const gateway = await gatewayOn(platform)
        .withControllers(HelloController)
        .prepared((app) => app.enableCors())
        .start();
      expect((await rawGet(gateway.port, { path: '/ws/alarm' })).status).toBe(426);
      expect(await (await fetch(gateway.url('/hello', 'http'))).text()).toBe('hello');
      await expectToPush(gateway);
    });
  });

  test('the application may be closed and another started on the same port', async () => {
    const first = await gatewayOn(platform).start();
    const { port } = first;
    await expectToPush(first);
    await first.close();
    const second = await gatewayOn(platform).create();
    await second.app.listen(port, '127.0.0.1');
    await expectToPush(second);
    const { httpServer } = second;
    await second.close();
    expect(httpServer.listenerCount('upgrade')).toBe(0);
    if (httpServer.listening) await once(httpServer, 'close');
  });
});
