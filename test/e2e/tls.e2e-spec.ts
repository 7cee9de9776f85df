import { once } from 'node:events';
import { afterEach, describe, expect, test } from '@jest/globals';
import { type INestApplication, Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { FastifyAdapter, type NestFastifyApplication } from '@nestjs/platform-fastify';
import { Agent, WebSocket as UndiciWebSocket } from 'undici';
import { WebSocket } from 'ws';
import { PUSH_V1, PushModule, type PushModuleOptions } from '../../src/index.js';
import { turn, until, within } from '../support/deadline.js';
import { type Platform, PLATFORMS, TestGateway } from '../support/gateway.fixture.js';
import { type Random, seeded } from '../support/random.js';
import { TEST_CERTIFICATE } from '../support/tls.certificate.js';

const RAW_DATA_PATH = '/ws/rowdata/dev/1/ann';
const ALARM_PATH = '/ws/alarm';
const DATUM = { businessType: 'dev', businessId: '1', text: '温度 "21°" 🔥' };
const ALARM = { businessId: '1', severity: 900, text: 'überhitzt' };

const { cert: ca } = TEST_CERTIFICATE;
const gateways = new Set<TestGateway>();
const agents = new Set<Agent>();

afterEach(async () => {
  await Promise.all([...gateways].map((gateway) => gateway.close()));
  await Promise.all([...agents].map((agent) => agent.destroy()));
  gateways.clear();
  agents.clear();
});

@Module({})
class SecureModule {}

/** An application that serves HTTPS itself. Ends with the test. */
async function startSecure(platform: Platform, options: PushModuleOptions = {}): Promise<TestGateway> {
  const root = { module: SecureModule, imports: [PushModule.forRoot({ alarmLogPath: '', ...options })] };
  const app: INestApplication =
    platform === 'fastify'
      ? await NestFactory.create<NestFastifyApplication>(root, new FastifyAdapter({ https: TEST_CERTIFICATE }), {
          logger: false,
        })
      : await NestFactory.create(root, { logger: false, httpsOptions: TEST_CERTIFICATE });
  const gateway = new TestGateway(app);
  gateways.add(gateway);
  await gateway.listen();
  return gateway;
}

/** What one connection is sent. */
class Inbox {
  /** Without what is personal on push.v1. */
  readonly texts: string[] = [];
  closed: { code: number; reason: string } | undefined;
  pings = 0;
  /** What it pinged, and what the server's pongs said; ws only, for undici cannot ping. */
  readonly asked: string[] = [];
  readonly pongs: string[] = [];

  /** Keeps a text; returns whether it was a mark, which has to be sent back. */
  take(text: string): boolean {
    if (!/^\{"event":"(ready|mark|heartbeat|drain)"/.test(text)) this.texts.push(text);
    return text.startsWith('{"event":"mark"');
  }
}

type Connect = (inbox: Inbox, url: string, protocols: string[]) => Promise<void>;

/** Pings with every twentieth message. */
const connectWs: Connect = async (inbox, url, protocols) => {
  const socket = new WebSocket(url, protocols, { ca, perMessageDeflate: false });
  socket.on('message', (data) => {
    const text = String(data);
    if (inbox.take(text)) socket.send(text);
    if (inbox.texts.length % 20 !== 0 || socket.readyState !== WebSocket.OPEN) return;
    inbox.asked.push(`ping ${inbox.asked.length}`);
    socket.ping(inbox.asked.at(-1));
  });
  socket.on('ping', () => (inbox.pings += 1));
  socket.on('pong', (payload) => inbox.pongs.push(payload.toString()));
  socket.on('close', (code, reason) => (inbox.closed = { code, reason: reason.toString() }));
  await within(once(socket, 'open'), 'ws opens');
};

const connectUndici: Connect = async (inbox, url, protocols) => {
  const dispatcher = new Agent({ connect: { ca } });
  agents.add(dispatcher);
  const socket = new UndiciWebSocket(url, { protocols, dispatcher });
  socket.addEventListener('message', ({ data }) => {
    const text = String(data);
    if (inbox.take(text)) socket.send(text);
  });
  socket.addEventListener('close', ({ code, reason }) => (inbox.closed = { code, reason }));
  await until(() => socket.readyState === UndiciWebSocket.OPEN, 'undici opens');
};

async function open(connect: Connect, gateway: TestGateway, path: string, protocols: string[]): Promise<Inbox> {
  const inbox = new Inbox();
  await connect(inbox, gateway.url(path).replace('ws:', 'wss:'), protocols);
  return inbox;
}

/** Of 1 B to 200 KB, as many short as long ones, with those at the limits of a frame's length. */
function mixedTexts(random: Random, count: number): string[] {
  const LARGEST = 200_000;
  const letters = Array.from({ length: 2 * LARGEST }, () => String.fromCodePoint(97 + random.below(26))).join('');
  const sizes = [1, 125, 126, 65_535, 65_536, LARGEST];
  while (sizes.length < count) sizes.push(Math.floor(LARGEST ** random.next()));
  return sizes.map((size) => {
    const start = random.below(LARGEST);
    const text = letters.slice(start, start + size);
    return size > 1 && random.chance(0.5) ? `${text.slice(2)}ü` : text;
  });
}

describe.each(PLATFORMS)('over TLS on %s', (platform) => {
  test.each([
    ['ws', connectWs],
    ['undici', connectUndici],
  ])('%s gets raw data and alarms on both wires, and the close', async (_name, connect) => {
    const gateway = await startSecure(platform);
    const raw = await open(connect, gateway, RAW_DATA_PATH, []);
    const rawV1 = await open(connect, gateway, RAW_DATA_PATH, [PUSH_V1]);
    const alarm = await open(connect, gateway, ALARM_PATH, []);
    const alarmV1 = await open(connect, gateway, ALARM_PATH, [PUSH_V1]);
    await until(() => gateway.rawData.count() === 2 && gateway.alarms.count() === 2, 'all are known');
    expect(gateway.push.pushRawData(DATUM)).toEqual({ matched: 2 });
    const { cursor } = await gateway.push.pushAlarm(ALARM);
    const inboxes = [raw, rawV1, alarm, alarmV1];
    await until(() => inboxes.every(({ texts }) => texts.length > 0), 'all have got theirs');
    await gateway.close();
    await until(() => inboxes.every(({ closed }) => closed !== undefined), 'all are closed');
    expect(inboxes.map(({ closed }) => closed?.code)).toEqual([1012, 1012, 1012, 1012]);
    expect(raw.texts).toEqual([JSON.stringify(DATUM)]);
    expect(alarm.texts).toEqual([JSON.stringify(ALARM)]);
    expect(rawV1.texts.map((text) => JSON.parse(text) as unknown)).toEqual([{ event: 'rawData', data: DATUM }]);
    expect(alarmV1.texts.map((text) => JSON.parse(text) as unknown)).toEqual([
      { event: 'alarm', id: cursor, data: ALARM },
    ]);
  });

  test(
    'joined writes of 2,000 frames between pings, pongs and a close arrive whole and in order',
    seeded(async (random) => {
      const gateway = await startSecure(platform, {
        inFlightBytes: 2 ** 20,
        maxOutboxBytes: 2 ** 28,
        heartbeatIntervalMs: 10,
      });
      const inboxes = [
        await open(connectWs, gateway, RAW_DATA_PATH, []),
        await open(connectWs, gateway, ALARM_PATH, [PUSH_V1]),
        await open(connectUndici, gateway, RAW_DATA_PATH, [PUSH_V1]),
        await open(connectUndici, gateway, ALARM_PATH, []),
      ];
      await until(() => gateway.rawData.count() === 2 && gateway.alarms.count() === 2, 'all are known');
      const texts = mixedTexts(random, 2000);
      for (let from = 0; from < texts.length;) {
        const end = from + 1 + random.below(100);
        for (const text of texts.slice(from, end)) {
          gateway.rawData.broadcast(text);
          gateway.alarms.broadcast(text);
        }
        from = end;
        await turn();
      }
      // All is written then, and the last of it not read yet.
      const clients = () => [...gateway.rawData.clients(), ...gateway.alarms.clients()];
      await until(() => clients().every(({ outboxBytes }) => outboxBytes === 0), 'nothing waits', 10_000);
      await gateway.close();
      await until(() => inboxes.every(({ closed }) => closed !== undefined), 'all are closed');
      for (const inbox of inboxes) {
        expect(inbox.closed).toEqual({ code: 1012, reason: 'server is restarting' });
        expect(inbox.texts.length).toBe(texts.length);
        expect(inbox.texts.findIndex((text, n) => text !== texts[n])).toBe(-1);
        if (inbox.asked.length === 0) continue;
        expect(inbox.pings).toBeGreaterThan(20);
        // Those asked for behind the server's close are not answered.
        expect(inbox.pongs.length).toBeGreaterThan(10);
        expect(inbox.pongs).toEqual(inbox.asked.slice(0, inbox.pongs.length));
      }
    }),
  );
});
