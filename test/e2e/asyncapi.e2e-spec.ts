import { once } from 'node:events';
import { afterEach, beforeEach, expect, test } from '@jest/globals';
import { type ClientOptions, WebSocket } from 'ws';
import { CloseCodes, PUSH_V1 } from '../../src/index.js';
import { messagesOf, payloadOf } from '../support/asyncapi.js';
import { until, within } from '../support/deadline.js';
import { gatewayOn, type TestGateway } from '../support/gateway.fixture.js';
import { faultsOf, type JsonObject } from '../support/json-schema.js';
import { describeWithRedis, RedisServer } from '../support/redis.server.js';

const RAW_DATA_PATH = '/ws/rowdata/meter/m-7/ann';
const DATUM = { businessType: 'meter', businessId: 'm-7', series: 'kw', value: 21.5 };
const ALARM = { businessId: 'm-7', severity: 700, message: 'Door left open' };

interface Message extends JsonObject {
  event: string;
}

/** A connection of push.v1 with all that was said on it, in either direction. Returns no mark by itself. */
class Recording {
  readonly received: Message[] = [];
  readonly sent: Message[] = [];

  private constructor(
    readonly channel: 'rawData' | 'alarms',
    private readonly socket: WebSocket,
  ) {
    socket.on('message', (data) => this.received.push(JSON.parse(String(data)) as Message));
  }

  static async open(gateway: TestGateway, path: string, options: ClientOptions = {}): Promise<Recording> {
    const socket = new WebSocket(gateway.url(path), PUSH_V1, options);
    const recording = new Recording(path.startsWith('/ws/alarm') ? 'alarms' : 'rawData', socket);
    recordings.push(recording);
    await recording.next('ready');
    return recording;
  }

  /** The first message of this event from here on. */
  async next(event: string, from = 0): Promise<Message> {
    const find = () => this.received.slice(from).find((message) => message.event === event);
    await until(() => find() !== undefined, `a message ${event}`);
    return find() ?? { event };
  }

  /** Sends it and gives the next message of this event. */
  ask(message: Message, answer: string): Promise<Message> {
    this.say(message);
    return this.next(answer, this.received.length);
  }

  say(message: Message): void {
    this.sent.push(message);
    this.socket.send(JSON.stringify(message));
  }

  async whenClosed(): Promise<number> {
    const [code] = (await within(once(this.socket, 'close'), 'a close')) as [number];
    return code;
  }

  cut(): void {
    this.socket.terminate();
  }
}

const recordings: Recording[] = [];

beforeEach(() => {
  recordings.length = 0;
});

afterEach(() => {
  for (const recording of recordings) recording.cut();
});

/** All that the raw-data gateway sends, and takes. */
async function recordRawData(gateway: TestGateway): Promise<Recording> {
  const recording = await Recording.open(gateway, `${RAW_DATA_PATH}?snapshot=true&maxFrequencyHz=1000`);
  gateway.push.pushRawData(DATUM);
  await recording.next('rawData');
  await recording.next('heartbeat');
  const pumps = { businessType: 'pump', businessId: '*' };
  const wanted = [
    { ...pumps, maxFrequencyHz: 2, snapshot: true, history: 3 },
    { ...pumps, businessId: 'p-3' },
  ];
  const subscribed = await recording.ask(
    { event: 'subscribe', ref: 1, data: { keys: wanted as JsonObject[] } },
    'subscribed',
  );
  expect(subscribed).toMatchObject({ ref: 1, data: { refused: [{ reason: 'limit' }] } });
  await recording.ask({ event: 'unsubscribe', ref: 'u', data: { keys: [pumps] } }, 'unsubscribed');
  await recording.ask({ event: 'auth', ref: 2, data: { token: 'none' } }, 'exception');
  await recording.ask({ event: 'chat', data: { text: 'hello' } }, 'exception');
  return recording;
}

/** All that the alarm gateway sends, and takes. */
async function recordAlarms(gateway: TestGateway): Promise<void> {
  const lost = await Recording.open(gateway, '/ws/alarm?lastEventId=anEpochOfLongAgo.5');
  expect(await lost.next('gap')).toMatchObject({ data: { reason: 'epoch' } });
  await lost.ask({ event: 'ack', ref: 1, data: { id: 'anEpochOfLongAgo.5' } }, 'exception');
  const durable = await Recording.open(gateway, '/ws/alarm?durable=phone&minSeverity=100');
  await gateway.push.pushAlarm(ALARM);
  const { id = '' } = await durable.next('alarm');
  durable.say({ event: 'ack', data: { id } });
  await durable.ask({ event: 'ack', ref: 2, data: { id: `${String(id)}0` } }, 'exception');
  await durable.ask({ event: 'auth', ref: 3, data: { token: 'none' } }, 'exception');
  expect(await durable.next('heartbeat', durable.received.length)).toHaveProperty('id');
}

/** A client that is slow, which has to say so itself: its pongs would confirm what it has not read. */
async function recordSlowClient(gateway: TestGateway): Promise<void> {
  const slow = await Recording.open(gateway, RAW_DATA_PATH, { autoPong: false });
  const isConflated = () => gateway.rawData.clients().some(({ conflated }) => conflated > 0);
  const pushing = setInterval(() => gateway.push.pushRawData({ ...DATUM, text: 'x'.repeat(500) }), 1);
  try {
    await until(isConflated, 'a datum is conflated');
  } finally {
    clearInterval(pushing);
  }
  for (let from = 0; !slow.received.some(({ event }) => event === 'conflated');) {
    const mark = await slow.next('mark', from);
    from = slow.received.indexOf(mark) + 1;
    slow.say(mark);
    await until(
      () => slow.received.slice(from).some(({ event }) => ['mark', 'conflated'].includes(event)),
      'it goes on',
    );
  }
}

interface Said {
  readonly action: 'send' | 'receive';
  readonly channel: Recording['channel'];
  /** Its name in the document. */
  readonly name: string;
  readonly message: Message;
}

/** All that was said on all connections. */
function said(): Said[] {
  return recordings.flatMap(({ channel, received, sent }) => {
    const known = messagesOf('receive', 'push.v1', channel);
    const nameOf = ({ event }: Message) => (known.includes(event) ? event : 'applicationEvent');
    return [
      ...received.map((message): Said => ({ action: 'send', channel, name: message.event, message })),
      ...sent.map((message): Said => ({ action: 'receive', channel, name: nameOf(message), message })),
    ];
  });
}

function faultsOfMessage({ action, channel, name, message }: Said): string[] {
  if (!messagesOf(action, 'push.v1', channel).includes(name)) return [`${name} is not documented of ${channel}`];
  return faultsOf(payloadOf(name), message).map((fault) => `${name}: ${fault}`);
}

function namesSaid(action: Said['action']): string[] {
  return [...new Set(said().flatMap((each) => (each.action === action ? [each.name] : [])))].toSorted();
}

test('every message of push.v1, as it goes over the socket, is as it is documented', async () => {
  const gateway = await gatewayOn('express')
    .withOptions({
      heartbeatIntervalMs: 200,
      inFlightBytes: 1024,
      conflateAfterMs: 1,
      maxSubscriptionsPerClient: 2,
      drainWindowMs: 100,
    })
    .start();
  const rawData = await recordRawData(gateway);
  await recordAlarms(gateway);
  await recordSlowClient(gateway);
  const closed = rawData.whenClosed();
  await gateway.close();
  expect(await closed).toBe(CloseCodes.drain.code);
  expect(said().flatMap(faultsOfMessage)).toEqual([]);
  // Texts are the application's; of several nodes there is a test below.
  const documented = messagesOf('send', 'push.v1').filter((name) => !['text', 'degraded'].includes(name));
  expect(namesSaid('send')).toEqual(documented.toSorted());
  expect(namesSaid('receive')).toEqual(messagesOf('receive', 'push.v1').toSorted());
});

test('what goes over the plain wire is as it is documented', async () => {
  const gateway = await gatewayOn('express').start();
  const rawData = await gateway.connect(RAW_DATA_PATH);
  const alarms = await gateway.connect('/ws/alarm');
  gateway.push.pushRawData(DATUM);
  await gateway.push.pushAlarm(ALARM);
  expect(faultsOf(payloadOf('plainRawDatum'), JSON.parse(await rawData.next()))).toEqual([]);
  expect(faultsOf(payloadOf('plainAlarm'), JSON.parse(await alarms.next()))).toEqual([]);
  gateway.rawData.broadcast('maintenance at noon');
  expect(faultsOf(payloadOf('text'), await rawData.next())).toEqual([]);
});

describeWithRedis('messages of a node among several', () => {
  test('are as they are documented', async () => {
    const redis = await RedisServer.start();
    const gateway = await gatewayOn('express').withOptions({ redisUrl: redis.url }).start();
    const clients = [await Recording.open(gateway, RAW_DATA_PATH), await Recording.open(gateway, '/ws/alarm')];
    await redis.kill();
    for (const client of clients) expect(await client.next('degraded')).toMatchObject({ data: { active: true } });
    expect(said().flatMap(faultsOfMessage)).toEqual([]);
  });
});
