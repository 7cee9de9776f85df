import { once } from 'node:events';
import { Agent, get } from 'node:http';
import { Controller, Get, Injectable, type OnModuleInit } from '@nestjs/common';
import { SubscribeMessage, WebSocketGateway } from '@nestjs/websockets';
import { describe, expect, test } from '@jest/globals';
import { Authenticator, NodeState, type Principal } from '../../src/index.js';
import { Child } from '../support/child.js';
import { until, within } from '../support/deadline.js';
import { gatewayOn, PLATFORMS } from '../support/gateway.fixture.js';
import { PushClient } from '../support/push.client.js';
import { openSocket, rawGet, rawUpgrade, readUntil, upgradeBytes } from '../support/raw-upgrade.js';

const RAW_DATA_PATH = '/ws/rowdata/dev/1/ann';
const UNAVAILABLE = { statusCode: 503, error: 'unavailable', message: expect.any(String) };
const DRAIN = { code: 1012, reason: 'server is restarting' };

@WebSocketGateway({ path: '/ws/own' })
class OwnGateway {
  @SubscribeMessage('echo')
  echo(): unknown {
    return { event: 'echo', data: 'own' };
  }
}

describe.each(PLATFORMS)('life and death on %s', (platform) => {
  describe('before bootstrap is done', () => {
    test('503, and afterwards connections', async () => {
      let goOn: (() => void) | undefined;

      @Injectable()
      class SlowModule implements OnModuleInit {
        onModuleInit(): Promise<void> {
          return new Promise((resolve) => (goOn = resolve));
        }
      }

      const gateway = await gatewayOn(platform).withProviders(SlowModule).create();
      const { httpServer } = gateway;
      const started = gateway.app.init();
      await until(() => goOn !== undefined, 'the slow module is reached');
      httpServer.listen(0, '127.0.0.1');
      await once(httpServer, 'listening');
      for (const path of [RAW_DATA_PATH, '/ws/alarm']) {
        const answer = await rawUpgrade(gateway.port, { path });
        expect(answer).toMatchObject({ status: 503, json: UNAVAILABLE });
        expect(Number(answer.headers['retry-after'])).toBeGreaterThan(0);
      }
      goOn?.();
      await within(started, 'the application starts');
      const client = await gateway.connect(RAW_DATA_PATH);
      expect(gateway.push.pushRawData({ businessType: 'dev' })).toEqual({ matched: 1 });
      expect(await client.next()).toBe('{"businessType":"dev"}');
    });
  });

  describe('app.close()', () => {
    test('writes what was pushed before, closes with 1012, and leaves nobody', async () => {
      const gateway = await gatewayOn(platform).start();
      const raw = await gateway.connect(RAW_DATA_PATH);
      const pushV1 = await gateway.connectPushV1(RAW_DATA_PATH);
      const alarm = await gateway.connect('/ws/alarm');
      for (let n = 0; n < 100; n++) gateway.push.pushRawData({ businessType: 'dev', n });
      await gateway.push.pushAlarms([{ businessId: '1' }, { businessId: '2' }]);
      gateway.push.pushRawData({ businessType: 'dev', n: 100 });
      const closing = gateway.app.close();
      for (let n = 0; n <= 100; n++) {
        expect(JSON.parse(await raw.next())).toEqual({ businessType: 'dev', n });
        expect((await pushV1.nextEvent('rawData')).data).toEqual({ businessType: 'dev', n });
      }
      expect([await alarm.next(), await alarm.next()]).toEqual(['{"businessId":"1"}', '{"businessId":"2"}']);
      for (const client of [raw, pushV1, alarm]) expect(await within(client.closed, 'close')).toEqual(DRAIN);
      await within(closing, 'the application is closed');
      expect(gateway.rawData.count() + gateway.alarms.count() + gateway.placesTaken).toBe(0);
    });

    test('also what waits for the flush interval', async () => {
      const gateway = await gatewayOn(platform).withOptions({ flushIntervalMs: 60_000 }).start();
      const client = await gateway.connect(RAW_DATA_PATH);
      gateway.push.pushRawData({ businessType: 'dev' });
      const closing = gateway.app.close();
      expect(await client.next()).toBe('{"businessType":"dev"}');
      expect(await within(client.closed, 'close')).toEqual(DRAIN);
      await within(closing, 'the application is closed');
    });

    test('also what is more than one in-flight window, to a client that reads', async () => {
      // However slow this machine is, no pressure begins.
      const gateway = await gatewayOn(platform).withOptions({ conflateAfterMs: 60_000 }).start();
      const clients = [await gateway.connect(RAW_DATA_PATH), await gateway.connectPushV1(RAW_DATA_PATH)];
      const filling = 'x'.repeat(1000);
      for (let n = 0; n < 300; n++) gateway.push.pushRawData({ businessType: 'dev', n, filling });
      const closing = gateway.app.close();
      for (const client of clients) {
        for (let n = 0; n < 300; n++) expect(await client.next(2000)).toContain(`"n":${n},`);
        expect(await within(client.closed, 'close')).toEqual(DRAIN);
      }
      await within(closing, 'the application is closed');
    });

    test('tells disconnected$ of every client', async () => {
      const gateway = await gatewayOn(platform).start();
      const codes: number[] = [];
      gateway.rawData.disconnected$.subscribe(({ code }) => codes.push(code));
      for (let n = 0; n < 5; n++) await gateway.connect(RAW_DATA_PATH);
      await within(gateway.app.close(), 'the application is closed');
      expect(codes).toEqual([1012, 1012, 1012, 1012, 1012]);
    });

    test('pushing afterwards reaches nobody and harms nobody', async () => {
      const gateway = await gatewayOn(platform).start();
      await gateway.connect(RAW_DATA_PATH);
      await within(gateway.app.close(), 'the application is closed');
      expect(gateway.push.pushRawData({ businessType: 'dev' })).toEqual({ matched: 0 });
      expect(gateway.rawData.broadcast('anybody?')).toBe(0);
    });
  });

  test('while draining: 503 to new ones, and who never answers the close is cut at the deadline', async () => {
    const gateway = await gatewayOn(platform).withOptions({ drainDeadlineMs: 1500 }).withProviders(OwnGateway).start();
    const mute = await openSocket(gateway.port);
    mute.write(upgradeBytes(gateway.port, { path: RAW_DATA_PATH }));
    await until(() => gateway.rawData.count() === 1, 'the mute client');
    const cut = readUntil(mute, () => false);
    const good = await gateway.connect('/ws/alarm');
    const startMs = performance.now();
    const closing = gateway.app.close();
    expect(await within(good.closed, 'close')).toEqual(DRAIN);
    for (const ask of [rawUpgrade, rawGet]) {
      for (const path of [RAW_DATA_PATH, '/ws/alarm', '/ws/rowdata/a/*/u']) {
        const answer = await ask(gateway.port, { path });
        expect(answer).toMatchObject({ status: 503, json: UNAVAILABLE });
        expect(Number(answer.headers['retry-after'])).toBeGreaterThan(0);
      }
    }
    // What is not ours is handed on, also now.
    const own = await gateway.connect('/ws/own');
    expect((await own.ask('echo', 1)).data).toBe('own');
    expect((await rawUpgrade(gateway.port, { path: '/nowhere' })).status).toBe(404);
    expect(gateway.push.pushRawData({ businessType: 'dev' }).matched).toBeLessThanOrEqual(1);
    const received = await cut;
    // The close frame came, and nothing behind it: FIN, opcode 8, code 1012 and its reason.
    const closeFrame = Buffer.concat([
      Buffer.from([0x88, 2 + DRAIN.reason.length, 0x03, 0xf4]),
      Buffer.from(DRAIN.reason),
    ]);
    expect(received.subarray(-closeFrame.length)).toEqual(closeFrame);
    await within(closing, 'the application is closed');
    expect(performance.now() - startMs).toBeGreaterThan(800);
    await until(() => gateway.rawData.count() + gateway.alarms.count() + gateway.placesTaken === 0, 'nobody is left');
    mute.destroy();
  });

  test('a client that reads nothing does not hold up the end', async () => {
    const gateway = await gatewayOn(platform).withOptions({ drainDeadlineMs: 1000 }).start();
    const stuck = await openSocket(gateway.port);
    stuck.pause();
    stuck.write(upgradeBytes(gateway.port, { path: RAW_DATA_PATH }));
    await until(() => gateway.rawData.count() === 1, 'the stuck client');
    for (let n = 0; n < 20; n++) gateway.push.pushRawData({ businessType: 'dev', n, filling: 'x'.repeat(500_000) });
    await within(gateway.app.close(), 'the application is closed', 3000);
    await until(() => gateway.placesTaken === 0, 'its place is free');
    expect(gateway.rawData.count()).toBe(0);
    stuck.destroy();
  });

  describe('an HTTP connection', () => {
    @Controller()
    class Slow {
      answer: (() => void) | undefined;

      @Get('slow')
      ask(): Promise<string> {
        return new Promise((resolve) => (this.answer = () => resolve('at last')));
      }
    }

    test('that is kept alive, and asked on again and again, does not hold up the end', async () => {
      const gateway = await gatewayOn(platform).withControllers(Slow).start();
      const agent = new Agent({ keepAlive: true, maxSockets: 1 });
      const { port, httpServer } = gateway;
      const statuses: unknown[] = [];
      const ask = (path: string) => {
        const asked = get({ agent, port, host: '127.0.0.1', path }, (response) => {
          statuses.push(response.statusCode);
          response.resume().once('end', () => setTimeout(() => ask(RAW_DATA_PATH), 50));
        });
        // In the end nobody answers any more.
        asked.on('error', () => {});
      };
      ask('/slow');
      const slow = gateway.app.get(Slow);
      await until(() => slow.answer !== undefined, 'the route is asked');
      const closing = gateway.app.close();
      await until(() => !httpServer.listening, 'the server closes');
      slow.answer?.();
      await within(closing, 'the application is closed', 3000);
      expect(statuses[0]).toBe(200);
      agent.destroy();
    });

    test('that says nothing, as browsers open them in advance, does not hold up the end', async () => {
      const gateway = await gatewayOn(platform).start();
      const silent = await openSocket(gateway.port);
      await within(gateway.app.close(), 'the application is closed', 3000);
      await until(() => silent.destroyed, 'it is closed');
      expect(silent.bytesRead).toBe(0);
    });

    test('whose request is never answered is cut at the deadline', async () => {
      const gateway = await gatewayOn(platform).withOptions({ drainDeadlineMs: 1500 }).withControllers(Slow).start();
      const waiting = rawGet(gateway.port, { path: '/slow' });
      waiting.catch(() => {});
      await until(() => gateway.app.get(Slow).answer !== undefined, 'the route is asked');
      const startMs = performance.now();
      await within(gateway.app.close(), 'the application is closed');
      expect(performance.now() - startMs).toBeGreaterThan(1000);
    });
  });

  describe('an upgrade whose authentication is still pending', () => {
    class Pending extends Authenticator {
      answer: (principal: Principal) => void = () => {};
      isAsked = false;

      authenticate(): Promise<Principal> {
        this.isAsked = true;
        return new Promise((resolve) => (this.answer = resolve));
      }
    }

    test('is answered 503 once the application shuts down', async () => {
      const authenticator = new Pending();
      const gateway = await gatewayOn(platform).withOptions({ authenticator, drainDeadlineMs: 1000 }).start();
      const answer = rawUpgrade(gateway.port, { path: RAW_DATA_PATH });
      await until(() => authenticator.isAsked, 'the authenticator is asked');
      const closing = gateway.app.close();
      await until(() => gateway.app.get(NodeState).phase === 'draining', 'draining');
      authenticator.answer({});
      expect(await answer).toMatchObject({ status: 503, json: UNAVAILABLE });
      await within(closing, 'the application is closed', 3000);
    });

    test('does not hold up the end, although it is never answered', async () => {
      const authenticator = new Pending();
      const gateway = await gatewayOn(platform).withOptions({ authenticator, drainDeadlineMs: 1000 }).start();
      const socket = await openSocket(gateway.port);
      socket.write(upgradeBytes(gateway.port, { path: RAW_DATA_PATH }));
      await until(() => authenticator.isAsked, 'the authenticator is asked');
      const closing = gateway.app.close();
      try {
        await within(closing, 'the application is closed', 3000);
        expect(gateway.rawData.count()).toBe(0);
      } finally {
        authenticator.answer({});
        socket.destroy();
      }
    });
  });
});

describe('the process', () => {
  const variables = { PORT: '0', PUSH_DEMO: 'false', PUSH_DRAIN_DEADLINE_MS: '1500', PUSH_ALARM_LOG_PATH: '' };

  test.each(['SIGTERM', 'SIGINT'] as const)(
    'ends with code 0 on %s, with clients that answer and one that does not',
    async (signal) => {
      const child = Child.node('src/main.ts', [], variables);
      const [, port = ''] = await child.line(/listening on http:\/\/127\.0\.0\.1:(\d+)/);
      const clients = [
        await PushClient.connect(`ws://127.0.0.1:${port}${RAW_DATA_PATH}`),
        await PushClient.connectPushV1(`ws://127.0.0.1:${port}/ws/alarm`),
      ];
      const mute = await openSocket(Number(port));
      mute.write(upgradeBytes(Number(port), { path: RAW_DATA_PATH }));
      await readUntil(mute, (bytes) => bytes.includes('101 Switching'));
      child.kill(signal);
      for (const client of clients) expect(await within(client.closed, 'close')).toEqual(DRAIN);
      expect(await within(child.exited, 'the process ends', 10_000)).toEqual({ code: 0, signal: null });
      mute.destroy();
    },
  );

  test('is flat after 10,000 connects and disconnects', async () => {
    const child = Child.node('test/support/flat.program.ts', ['--expose-gc'], {});
    const [line] = await child.line(/^\{.*\}$/, 60_000);
    const { before, after, left, reached } = JSON.parse(line) as {
      before: { heapUsed: number; resources: unknown; listeners: number };
      after: { heapUsed: number; resources: unknown; listeners: number };
      left: number;
      reached: number;
    };
    expect({ left, reached }).toEqual({ left: 0, reached: 0 });
    expect(after.resources).toEqual(before.resources);
    expect(after.listeners).toBe(before.listeners);
    expect(after.heapUsed - before.heapUsed).toBeLessThan(5 * 1024 * 1024);
    expect(await within(child.exited, 'the process ends')).toEqual({ code: 0, signal: null });
  }, 60_000);
});
