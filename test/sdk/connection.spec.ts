import { afterEach, beforeEach, describe, expect, jest, test } from '@jest/globals';
import { CloseCodes } from '../../src/protocol/close-codes.js';
import {
  connectRawData,
  type PushClientError,
  type RawDataConnection,
  type RawDataOptions,
  type SocketClose,
  type StateChange,
} from '../../src/sdk/index.js';
import { FakeNetwork } from './fake.socket.js';
import { FakePage } from './fake.page.js';

const ADDRESS = { base: 'https://push.test', businessType: 'meter', businessId: 'm 7', userName: 'ann' };

let network: FakeNetwork;
let page: FakePage;
let connection: RawDataConnection;
let states: StateChange[];
let closes: SocketClose[];
let errors: PushClientError[];

beforeEach(() => {
  jest.useFakeTimers();
  // The whole of each delay.
  jest.spyOn(Math, 'random').mockReturnValue(1);
  network = new FakeNetwork();
  page = new FakePage();
});

afterEach(() => {
  connection.close();
  page.leave();
  jest.useRealTimers();
  jest.restoreAllMocks();
});

const settle = () => jest.advanceTimersByTimeAsync(0);

async function connect(options: Partial<RawDataOptions> = {}): Promise<void> {
  states = [];
  closes = [];
  errors = [];
  connection = connectRawData({ ...ADDRESS, WebSocket: network.WebSocket, ...options } as RawDataOptions);
  connection.on('state', (change) => states.push(change));
  connection.on('close', (close) => closes.push(close));
  connection.on('error', (error) => errors.push(error));
  await settle();
}

async function open(options: Partial<RawDataOptions> = {}): Promise<void> {
  await connect(options);
  network.last.greet();
}

/** Milliseconds until the next attempt is made. */
async function untilNextAttempt(limitMs = 60_000): Promise<number> {
  const count = network.sockets.length;
  for (let ms = 0; ms <= limitMs; ms += 100) {
    if (network.sockets.length > count) return ms;
    await jest.advanceTimersByTimeAsync(100);
  }
  return Infinity;
}

function refusing(): never {
  throw new SyntaxError('no such subprotocol');
}

describe('its states', () => {
  test('connecting until the server greets, then open, and closed for good', async () => {
    await connect();
    expect(connection.state).toBe('connecting');
    expect(network.last).toMatchObject({
      url: 'wss://push.test/ws/rowdata/meter/m%207/ann',
      protocols: ['push.v1'],
    });
    network.last.open();
    expect([connection.state, connection.clientId]).toEqual(['connecting', undefined]);
    network.last.greet({ clientId: 'c-1' });
    expect([connection.state, connection.clientId]).toEqual(['open', 'c-1']);
    connection.close();
    expect(network.last.closedWith).toEqual({ code: 1000 });
    expect(states.map(({ state }) => state)).toEqual(['connecting', 'open', 'closed']);
    connection.close();
    connection.retryNow();
    expect(await untilNextAttempt()).toBe(Infinity);
    expect(states).toHaveLength(3);
    expect(jest.getTimerCount()).toBe(0);
  });

  test('a listener may close it at every turn', async () => {
    for (const when of ['connecting', 'open', 'waiting'] as const) {
      network = new FakeNetwork();
      connection = connectRawData({ ...ADDRESS, WebSocket: network.WebSocket });
      connection.on('state', ({ state }) => {
        if (state === when) connection.close();
      });
      await settle();
      if (when !== 'connecting') network.last.greet();
      if (when === 'waiting') network.last.end(1012);
      expect(connection.state).toBe('closed');
      expect(await untilNextAttempt()).toBe(Infinity);
    }
  });

  test('a listener of close may close it', async () => {
    await open();
    connection.on('close', () => connection.close());
    network.last.end(4403);
    expect(connection.state).toBe('closed');
    expect(errors).toEqual([]);
  });

  test('what comes of a socket that was given up does not count', async () => {
    await open();
    const first = network.last;
    first.end(1012, 'server is restarting');
    await untilNextAttempt();
    network.last.greet({ clientId: 'second' });
    first.receive('rawData', { businessType: 'meter' });
    first.end(4403);
    expect([connection.state, connection.clientId]).toEqual(['open', 'second']);
  });

  test('one that was given up while it connected and opens all the same is closed: React Native cannot do it before', async () => {
    await connect({ connectTimeoutMs: 3000 });
    const first = network.last;
    await jest.advanceTimersByTimeAsync(3000);
    // On Android a close that comes too early is lost.
    first.closedWith = undefined;
    first.greet();
    expect([connection.state, first.closedWith]).toEqual(['waiting', { code: undefined }]);
  });

  test('without an address, or without a WebSocket, it says so at once', () => {
    const options = { businessType: 'meter', businessId: '7', userName: 'ann', WebSocket: network.WebSocket };
    expect(() => connectRawData(options)).toThrow(/give a "url" or "base"/);
    expect(() => connectRawData({ url: '/ws/rowdata/meter/7/ann', WebSocket: network.WebSocket })).toThrow(TypeError);
    expect(() => connectRawData(ADDRESS)).toThrow(/no WebSocket here/);
  });

  test('a page needs no server of its own: it has one', async () => {
    page.origin = 'http://page.test:8080';
    await connect({ base: undefined });
    expect(network.last.url).toBe('ws://page.test:8080/ws/rowdata/meter/m%207/ann');
    connection.close();
    await connect({ url: '/live/rowdata/meter/7/ann?site=3', snapshot: true, maxFrequencyHz: 2, history: 5 });
    expect(network.last.url).toBe(
      'ws://page.test:8080/live/rowdata/meter/7/ann?site=3&maxFrequencyHz=2&snapshot=true&history=5',
    );
  });

  test('an address or a token that no socket can be made with stops it', async () => {
    await connect({ WebSocket: refusing as never, token: 'a token' });
    expect(connection.state).toBe('stopped');
    expect(errors).toMatchObject([{ fault: 'stopped', message: 'no such subprotocol' }]);
  });
});

describe('after a close', () => {
  test.each(Object.values(CloseCodes))('$code, $advice', async ({ code, reason, advice }) => {
    await open();
    network.last.end(code, reason);
    expect(closes).toEqual([{ code, reason, wasOpen: true, advice }]);
    const stops = advice === 'stop' || advice === 'refresh';
    expect(connection.state).toBe(stops ? 'stopped' : 'waiting');
    expect(errors.map((error) => error.code)).toEqual(stops ? [code] : []);
    expect(states.at(-1)).toMatchObject({ reason, ...(stops ? { error: errors[0] } : {}) });
    expect(await untilNextAttempt()).toBe(stops ? Infinity : advice === 'back off' ? 15_000 : 1000);
  });

  test.each([
    [1000, 'back off'],
    [1001, 'retry'],
    [1002, 'stop'],
    [1003, 'stop'],
    [1005, 'retry'],
    [1006, 'retry'],
    [1007, 'stop'],
    [1008, 'stop'],
    [1009, 'stop'],
    [1010, 'stop'],
    [1011, 'retry'],
    [1013, 'retry'],
    [3000, 'back off'],
    [4000, 'back off'],
    [4999, 'back off'],
  ] as const)('another code: %i, %s', async (code, advice) => {
    await open();
    network.last.end(code);
    expect(closes[0]?.advice).toBe(advice);
  });

  test('the application may know its own codes better', async () => {
    await open({ afterClose: (code, reason) => (code === 4000 && reason === 'signed out' ? 'stop' : undefined) });
    network.last.end(4000, 'signed out');
    expect(connection.state).toBe('stopped');
    connection.close();
    await open({ afterClose: () => undefined });
    network.last.end(1012);
    expect(connection.state).toBe('waiting');
  });

  test('each failure doubles what a random part of is waited for, up to a cap, and ready begins anew', async () => {
    await open({ retryBaseMs: 500, retryCapMs: 3000 });
    const ceilings = [];
    for (let attempt = 0; attempt < 5; attempt++) {
      network.last.end(1011);
      ceilings.push(await untilNextAttempt());
      network.last.open();
    }
    expect(ceilings).toEqual([500, 1000, 2000, 3000, 3000]);
    network.last.greet();
    network.last.end(1011);
    expect(await untilNextAttempt()).toBe(500);
  });

  test('a drain names the time to come back, in the place of a random delay, and once', async () => {
    await open();
    const heard: unknown[] = [];
    connection.on('drain', (data) => heard.push(data));
    network.last.receive('drain', { retryAfterMs: 5000 });
    await jest.advanceTimersByTimeAsync(3000);
    network.last.end(1012, 'server is restarting');
    expect(states.at(-1)).toMatchObject({ state: 'waiting', retryInMs: 2000 });
    await jest.advanceTimersByTimeAsync(2000);
    network.last.end(1012);
    expect(states.at(-1)).toMatchObject({ state: 'waiting', retryInMs: 1000 });
    await jest.advanceTimersByTimeAsync(1000);
    network.last.greet();
    network.last.receive('drain', { retryAfterMs: 100 });
    await jest.advanceTimersByTimeAsync(200);
    network.last.end(1012);
    await settle();
    expect(network.sockets).toHaveLength(4);
    expect(heard).toHaveLength(2);
  });

  test('full jitter: the delay is a random part of the ceiling, and the state tells it', async () => {
    jest.mocked(Math.random).mockReturnValue(0.25);
    await open();
    network.last.end(1012);
    expect(states.at(-1)).toMatchObject({ state: 'waiting', retryInMs: 250 });
    connection.retryNow();
    await settle();
    expect(network.sockets).toHaveLength(2);
  });
});

describe('silence', () => {
  test('an attempt that is not answered in time is given up', async () => {
    await connect({ connectTimeoutMs: 4000 });
    network.last.open();
    await jest.advanceTimersByTimeAsync(4000);
    expect(closes).toEqual([{ code: 1006, reason: 'no answer', wasOpen: false, advice: 'retry' }]);
    expect(network.last.closedWith).toBeDefined();
    expect(await untilNextAttempt()).toBe(1000);
  });

  test('a connection that is silent for 2.5 heartbeats is dead; any message is a sign of life', async () => {
    await connect();
    network.last.greet({ heartbeatMs: 1000 });
    await jest.advanceTimersByTimeAsync(2400);
    network.last.receive('heartbeat', {});
    await jest.advanceTimersByTimeAsync(2400);
    expect(connection.state).toBe('open');
    await jest.advanceTimersByTimeAsync(100);
    expect(connection.state).toBe('waiting');
    expect(closes).toMatchObject([{ code: 1006, reason: 'no heartbeat', wasOpen: true }]);
  });

  test('a server that does not say how often it speaks is not watched', async () => {
    await connect();
    network.last.greet({ heartbeatMs: 0 });
    await jest.advanceTimersByTimeAsync(3_600_000);
    expect(connection.state).toBe('open');
  });

  test('what waits behind a page that slept is heard before the connection counts as dead', async () => {
    await connect();
    network.last.greet({ heartbeatMs: 1000 });
    jest.setSystemTime(Date.now() + 3_600_000);
    await jest.advanceTimersByTimeAsync(2500);
    network.last.receive('heartbeat', {});
    await jest.advanceTimersByTimeAsync(1000);
    expect(connection.state).toBe('open');
  });

  test('a page that is looked at again finds out sooner than its late timers', async () => {
    await connect();
    network.last.greet({ heartbeatMs: 100_000 });
    jest.setSystemTime(Date.now() + 300_000);
    page.show();
    await jest.advanceTimersByTimeAsync(1000);
    expect(connection.state).toBe('waiting');
  });
});

describe('the network of the page', () => {
  test('goes: the socket is given up, and no attempt is made until it is back, then at once', async () => {
    await open();
    const { length } = network.sockets;
    page.setOnline(false);
    expect(connection.state).toBe('waiting');
    expect(states.at(-1)).toMatchObject({ reason: 'offline' });
    expect(closes).toMatchObject([{ code: 1006, reason: 'offline', wasOpen: true }]);
    await jest.advanceTimersByTimeAsync(600_000);
    connection.retryNow();
    page.show();
    await settle();
    expect(network.sockets).toHaveLength(length);
    page.setOnline(true);
    await settle();
    expect(network.sockets).toHaveLength(length + 1);
  });

  test('is not there at first', async () => {
    page.setOnline(false);
    await connect();
    expect([connection.state, network.sockets.length]).toEqual(['waiting', 0]);
    page.setOnline(true);
    await settle();
    expect(network.sockets).toHaveLength(1);
  });

  test('goes while an attempt is waited for', async () => {
    await open();
    network.last.end(1012);
    page.setOnline(false);
    expect(await untilNextAttempt()).toBe(Infinity);
    page.setOnline(true);
    expect(await untilNextAttempt()).toBeLessThanOrEqual(100);
  });

  test.each(['http://localhost:3000', 'http://127.0.0.1', 'ws://[::1]:3000'])('does not matter to %s', async (base) => {
    page.setOnline(false);
    await connect({ base });
    network.last.greet();
    page.setOnline(false);
    expect(connection.state).toBe('open');
  });

  test('an attempt that waits is made when the page is looked at, not when it is hidden', async () => {
    await open();
    network.last.end(4429);
    page.hide();
    await settle();
    expect(network.sockets).toHaveLength(1);
    page.show();
    await settle();
    expect(network.sockets).toHaveLength(2);
  });

  test('is not listened to any more once the connection is over', async () => {
    await open();
    expect(page.listenerCount).toBe(3);
    connection.close();
    expect(page.listenerCount).toBe(0);
  });
});

describe('events and listeners', () => {
  test('are typed by name, and a listener can be taken off', async () => {
    await open();
    const heard: unknown[] = [];
    const off = connection.on('rawData', (datum, message) => heard.push(datum, message.event));
    network.last.receive('rawData', { businessType: 'meter', value: 1 });
    off();
    off();
    network.last.receive('rawData', { businessType: 'meter', value: 2 });
    expect(heard).toEqual([{ businessType: 'meter', value: 1 }, 'rawData']);
  });

  test('a listener that throws, or rejects, harms nobody and is told by error', async () => {
    await open();
    const heard: unknown[] = [];
    connection.on('conflated', () => {
      throw new Error('broken');
    });
    connection.on('conflated', () => Promise.reject(new Error('rejected')));
    connection.on('conflated', ({ count }) => heard.push(count));
    network.last.receive('conflated', { count: 3, sinceMs: 1 });
    await settle();
    expect(heard).toEqual([3]);
    expect(errors).toMatchObject([
      { fault: 'listener', message: 'a listener of "conflated" failed: broken' },
      { fault: 'listener', message: 'a listener of "conflated" failed: rejected' },
    ]);
    expect(connection.state).toBe('open');
  });

  test('an error that nobody listens for, and one of a listener of errors, is shown in the console', async () => {
    const shown = jest.spyOn(console, 'error').mockImplementation(() => {});
    connection = connectRawData({ ...ADDRESS, WebSocket: network.WebSocket });
    await settle();
    network.last.greet();
    network.last.end(4403, 'forbidden');
    expect(shown.mock.calls).toMatchObject([[{ fault: 'stopped', message: 'forbidden' }]]);
    await open();
    connection.on('error', () => {
      throw new Error('not even this');
    });
    network.last.end(4403, 'forbidden');
    expect(shown.mock.calls).toHaveLength(2);
  });

  test('what is not known is told by message, and no name of the library can be forged', async () => {
    await open();
    const heard: unknown[] = [];
    connection.on('message', (message) => heard.push(message));
    for (const event of ['news', 'state', 'error', 'close', 'toString', '__proto__']) {
      network.last.receiveText(JSON.stringify({ event, data: { n: 1 } }));
    }
    network.last.receiveText('not JSON');
    network.last.receiveText('[]');
    network.last.receiveText('null');
    expect(
      heard.map((message) => (typeof message === 'string' ? message : (message as { event: string }).event)),
    ).toEqual(['news', 'state', 'error', 'close', 'toString', '__proto__', 'not JSON', '[]', 'null']);
    expect(errors).toEqual([]);
    expect(states.at(-1)?.state).toBe('open');
  });

  test('a second ready is no beginning', async () => {
    await open();
    network.last.receive('ready', { clientId: 'forged', heartbeatMs: 1 });
    expect([connection.state, connection.clientId]).toEqual(['open', 'a-client']);
    await jest.advanceTimersByTimeAsync(10_000);
    expect(connection.state).toBe('open');
  });

  test('what concerns the connection surfaces', async () => {
    await open();
    const heard: unknown[] = [];
    connection.on('exception', (data) => heard.push(data));
    connection.on('degraded', (data) => heard.push(data));
    network.last.receive('exception', { code: 'unknownEvent', message: 'not known here' });
    network.last.receive('degraded', { active: true });
    expect(heard).toEqual([{ code: 'unknownEvent', message: 'not known here' }, { active: true }]);
  });

  test('sends events of the application while it is open', async () => {
    await connect();
    expect(connection.send('chat', { text: 'early' })).toBe(false);
    network.last.greet();
    expect(connection.send('chat', { text: 'hello' })).toBe(true);
    expect(network.last.sent()).toEqual([{ event: 'chat', data: { text: 'hello' } }]);
  });
});
