import { afterEach, beforeEach, describe, expect, jest, test } from '@jest/globals';
import type { ServerEvents } from '../../src/protocol/messages.js';
import { type AlarmConnection, type AlarmOptions, connectAlarms, type PushClientError } from '../../src/sdk/index.js';
import { FakeNetwork } from './fake.socket.js';

let network: FakeNetwork;
let connection: AlarmConnection;
let shown: string[];
let told: string[];
let errors: PushClientError[];
let stored: Map<string, string>;

beforeEach(() => {
  jest.useFakeTimers();
  jest.spyOn(Math, 'random').mockReturnValue(1);
  stored = new Map();
});

afterEach(() => {
  connection.close();
  jest.useRealTimers();
  jest.restoreAllMocks();
  Reflect.deleteProperty(globalThis, 'localStorage');
});

const settle = () => jest.advanceTimersByTimeAsync(0);
const storage = {
  get: (key: string) => stored.get(key),
  set: (key: string, place: string) => stored.set(key, place),
};
const place = () => [...stored.values()].join();

/** A new page, or a new process: only the storage is as before. */
async function connect(options: AlarmOptions = {}): Promise<void> {
  shown = [];
  told = [];
  errors = [];
  network = new FakeNetwork();
  connection = connectAlarms({ base: 'https://push.test', WebSocket: network.WebSocket, storage, ...options });
  connection.on('alarm', (_alarm, { id }) => void shown.push(id));
  connection.on('gap', ({ reason }) => told.push(`gap ${reason}`));
  connection.on('subscriptionLost', ({ requested }) => told.push(`lost ${requested}`));
  connection.on('error', (error) => errors.push(error));
  await settle();
}

async function open(options: AlarmOptions = {}, ready: Partial<ServerEvents['ready']> = {}): Promise<void> {
  await connect(options);
  network.last.greet({ cursor: 'e.10', resumed: false, heartbeatMs: 0, ...ready });
}

/** Cut, and connected again. */
async function reconnect(ready: Partial<ServerEvents['ready']> = {}): Promise<void> {
  network.last.end(1012);
  await jest.advanceTimersByTimeAsync(1000);
  network.last.greet({ resumed: true, heartbeatMs: 0, ...ready });
}

const heartbeat = (id: string) => network.last.receive('heartbeat', {}, { id });
const gap = (requested: string, oldest: string, reason: ServerEvents['gap']['reason']) =>
  network.last.receive('gap', { requested, oldest, reason });
const acks = () => network.last.sent().map(({ event, data }) => `${event} ${String(data['id'])}`);

describe('the address', () => {
  test('holds the filters, and where to begin on the first visit', async () => {
    await connect({ filters: { minSeverity: 400, businessType: ['meter', 'p&p'], businessId: 'm 7' }, replay: 50 });
    expect(network.last.url).toBe(
      'wss://push.test/ws/alarm?minSeverity=400&businessType=meter&businessType=p%26p&businessId=m%207&replay=50',
    );
  });

  test('of a whole url', async () => {
    await connect({ url: 'http://push.test/alarms?site=3', replay: 'all' });
    expect(network.last.url).toBe('ws://push.test/alarms?site=3&replay=all');
  });
});

describe('resuming', () => {
  test('the first connection stores where it begins, and then what was handled', async () => {
    await open();
    expect([connection.place, place()]).toEqual(['e.10', 'e.10']);
    network.last.alarm('e.12');
    expect([connection.place, place(), shown]).toEqual(['e.12', 'e.12', ['e.12']]);
  });

  test('after a drop it goes on there', async () => {
    await open({ replay: 5 });
    network.last.alarm('e.11');
    await reconnect();
    expect(network.query).toEqual({ lastEventId: 'e.11' });
    expect(shown).toEqual(['e.11']);
  });

  test('also in the next page; what a storage holds that is no place is left aside', async () => {
    await open();
    network.last.alarm('e.11');
    connection.close();
    await connect({ replay: 'all' });
    expect(network.query).toEqual({ lastEventId: 'e.11' });
    connection.close();
    for (const key of stored.keys()) stored.set(key, 'e.99999999999999999');
    await connect({ replay: 'all' });
    expect(network.query).toEqual({ replay: 'all' });
  });

  test('each address with its filters has a place of its own, or one that is named', async () => {
    await open({ filters: { minSeverity: 400 } });
    connection.close();
    await open({ filters: { minSeverity: 800 } });
    connection.close();
    await open({ storageKey: 'mine' });
    expect([...stored.keys()]).toEqual([
      'push-gateway wss://push.test/ws/alarm?minSeverity=400',
      'push-gateway wss://push.test/ws/alarm?minSeverity=800',
      'mine',
    ]);
  });

  test('alarms that come again are not shown again, in their order and of this log only', async () => {
    await open();
    for (const id of ['e.11', 'e.14']) network.last.alarm(id);
    await reconnect();
    for (const id of ['e.9', 'e.11', 'e.14', 'e.15', 'e.15', 'f.3', 'f.4', 'f.3', 'f.5']) network.last.alarm(id);
    expect(shown).toEqual(['e.11', 'e.14', 'e.15', 'f.3', 'f.4', 'f.5']);
  });

  test('a heartbeat moves the place too; it is written less often, but at the end', async () => {
    await open();
    heartbeat('e.20');
    heartbeat('e.21');
    expect([connection.place, place()]).toEqual(['e.21', 'e.10']);
    await jest.advanceTimersByTimeAsync(5000);
    expect(place()).toBe('e.21');
    heartbeat('e.30');
    network.last.alarm('e.31');
    expect(place()).toBe('e.31');
    heartbeat('e.40');
    connection.close();
    expect(place()).toBe('e.40');
    await connect();
    network.last.greet({ cursor: 'e.40', resumed: true, heartbeatMs: 0 });
    heartbeat('e.41');
    network.last.end(1012);
    await jest.advanceTimersByTimeAsync(1000);
    expect(network.query).toEqual({ lastEventId: 'e.41' });
  });

  test('without a storage the place lives as long as the connection', async () => {
    await open({ storage: 'memory' });
    network.last.alarm('e.11');
    await reconnect();
    expect([network.query, stored.size]).toEqual([{ lastEventId: 'e.11' }, 0]);
  });

  test('localStorage is the default where there is one, but not for pages that begin with what holds', async () => {
    const items = new Map<string, string>();
    const localStorage = {
      getItem: (key: string) => items.get(key) ?? null,
      setItem: (key: string, value: string) => void items.set(key, value),
    };
    Object.defineProperty(globalThis, 'localStorage', { value: localStorage, configurable: true });
    await open({ storage: undefined });
    expect([...items]).toEqual([['push-gateway wss://push.test/ws/alarm', 'e.10']]);
    connection.close();
    await open({ storage: undefined, replay: 'active' });
    expect(network.query).toEqual({ replay: 'active' });
    Object.defineProperty(globalThis, 'localStorage', {
      get: () => {
        throw new Error('not for this page');
      },
      configurable: true,
    });
    connection.close();
    await open({ storage: undefined });
    expect([network.query, errors]).toEqual([{}, []]);
  });
});

describe('what is not handled', () => {
  test('is not stored: promises of listeners are waited for, in order', async () => {
    await open();
    const waiting = new Map<string, () => void>();
    connection.on('alarm', (_alarm, { id }) => new Promise<void>((resolve) => waiting.set(id, resolve)));
    for (const id of ['e.11', 'e.12', 'e.13']) network.last.alarm(id);
    heartbeat('e.20');
    waiting.get('e.12')?.();
    await settle();
    expect(place()).toBe('e.10');
    waiting.get('e.11')?.();
    await settle();
    expect(place()).toBe('e.12');
    await reconnect();
    // It has them, so they need not come again.
    expect(network.query).toEqual({ lastEventId: 'e.20' });
    network.last.alarm('e.13');
    waiting.get('e.13')?.();
    await settle();
    expect([connection.place, shown]).toEqual(['e.20', ['e.11', 'e.12', 'e.13']]);
  });

  test('a listener that throws has handled it', async () => {
    await open();
    connection.on('alarm', () => {
      throw new Error('broken');
    });
    network.last.alarm('e.11');
    expect([place(), errors.length]).toEqual(['e.11', 1]);
  });

  test('a loop has handled an alarm when it asks for the next; what it leaves comes again in the next page', async () => {
    await open();
    const loop = connection[Symbol.asyncIterator]();
    for (const id of ['e.11', 'e.12', 'e.13', 'e.14']) network.last.alarm(id);
    expect(await loop.next()).toMatchObject({ value: { id: 'e.11', data: { businessId: 'e.11' } } });
    await settle();
    expect(place()).toBe('e.10');
    await loop.next();
    await settle();
    expect(place()).toBe('e.11');
    await loop.return(undefined);
    network.last.alarm('e.15');
    await settle();
    expect([connection.place, place()]).toEqual(['e.12', 'e.12']);
    expect(shown.at(-1)).toBe('e.15');
  });

  test('a loop that closes the connection has handled what it has got', async () => {
    await open();
    const loop = (async () => {
      for await (const { id } of connection) if (id === 'e.12') connection.close();
    })();
    for (const id of ['e.11', 'e.12', 'e.13']) network.last.alarm(id);
    await loop;
    await settle();
    expect(place()).toBe('e.12');
  });
});

describe('a storage', () => {
  test('that is slow gets one place at a time, and of several the last', async () => {
    const writes: string[] = [];
    let finish: (() => void) | undefined;
    const slow = {
      get: () => Promise.resolve('e.5'),
      set: (_key: string, id: string) => {
        writes.push(id);
        return new Promise<void>((resolve) => (finish = resolve));
      },
    };
    await open({ storage: slow }, { cursor: 'e.5', resumed: true });
    expect(network.query).toEqual({ lastEventId: 'e.5' });
    for (const id of ['e.11', 'e.12', 'e.13']) network.last.alarm(id);
    expect(writes).toEqual(['e.11']);
    finish?.();
    await settle();
    expect(writes).toEqual(['e.11', 'e.13']);
    finish?.();
  });

  test('that fails is told of once, until it works again; alarms go on', async () => {
    let isFull = true;
    const failing = {
      get: () => Promise.reject(new Error('no access')),
      set: () => {
        if (isFull) throw new Error('full');
      },
    };
    await open({ storage: failing });
    for (const id of ['e.11', 'e.12']) network.last.alarm(id);
    expect(errors).toMatchObject([{ fault: 'storage', message: 'no storage: no access' }]);
    isFull = false;
    network.last.alarm('e.13');
    isFull = true;
    network.last.alarm('e.14');
    expect(errors).toMatchObject([{}, { fault: 'storage', message: 'no storage: full' }]);
    expect(shown).toHaveLength(4);
  });

  test('that never answers does not bring back an old place', async () => {
    let answer: ((place: string) => void) | undefined;
    const gets = [() => new Promise<string>((resolve) => (answer = resolve)), () => Promise.resolve('e.7')];
    const late = { get: () => gets.shift()?.() ?? Promise.resolve('e.7'), set: () => {} };
    await connect({ storage: late, connectTimeoutMs: 1000 });
    await jest.advanceTimersByTimeAsync(2000);
    network.last.greet({ cursor: 'e.7', resumed: true, heartbeatMs: 0 });
    network.last.alarm('e.8');
    answer?.('e.1');
    await settle();
    network.last.alarm('e.8');
    expect(shown).toEqual(['e.8']);
  });
});

describe('a gap', () => {
  test('is told, and the old place stays until the next id', async () => {
    await open();
    network.last.alarm('e.11');
    await reconnect({ cursor: 'f.0', resumed: false });
    gap('e.11', 'f.1', 'epoch');
    expect([told, place()]).toEqual([['gap epoch'], 'e.11']);
    await reconnect({ cursor: 'f.0', resumed: false });
    expect(network.query).toEqual({ lastEventId: 'e.11' });
    gap('e.11', 'f.1', 'epoch');
    network.last.alarm('f.1');
    expect([place(), shown]).toEqual(['f.1', ['e.11', 'f.1']]);
  });

  test('of a log that was put back: what has a lower id now is shown', async () => {
    await open();
    network.last.alarm('e.30');
    await reconnect({ cursor: 'e.4', resumed: false });
    gap('e.30', 'e.5', 'ahead');
    for (const id of ['e.5', 'e.6', 'e.6']) network.last.alarm(id);
    expect([shown, place()]).toEqual([['e.30', 'e.5', 'e.6'], 'e.6']);
  });

  test('in mid-connection, with a heartbeat behind it', async () => {
    await open();
    gap('e.10', 'e.50', 'retention');
    heartbeat('e.60');
    network.last.alarm('e.61');
    expect([told, shown, connection.place]).toEqual([['gap retention'], ['e.61'], 'e.61']);
  });
});

describe('a durable subscription', () => {
  const durable = { durable: 'phone', replay: 100 } as const;

  test('is asked for by its name each time, and keeps no place here', async () => {
    await open(durable);
    expect(network.query).toEqual({ durable: 'phone', replay: '100' });
    network.last.alarm('e.11');
    await reconnect();
    expect(network.query).toEqual({ durable: 'phone', replay: '100' });
    expect(stored.size).toBe(0);
  });

  test('acknowledges what was handled, many at once, within a second', async () => {
    await open(durable);
    for (const id of ['e.11', 'e.12']) network.last.alarm(id);
    heartbeat('e.20');
    expect(acks()).toEqual([]);
    await jest.advanceTimersByTimeAsync(1000);
    expect(acks()).toEqual(['ack e.20']);
    await jest.advanceTimersByTimeAsync(5000);
    heartbeat('e.20');
    await jest.advanceTimersByTimeAsync(5000);
    expect(acks()).toEqual([]);
  });

  test('acknowledges every hundred alarms, and at the end', async () => {
    await open(durable);
    for (let offset = 11; offset <= 250; offset++) network.last.alarm(`e.${offset}`);
    expect(acks()).toEqual(['ack e.110', 'ack e.210']);
    connection.close();
    expect(acks()).toEqual(['ack e.250']);
  });

  test('does not acknowledge what a listener has not handled', async () => {
    await open(durable);
    let finish: (() => void) | undefined;
    connection.on('alarm', () => new Promise<void>((resolve) => (finish = resolve)));
    network.last.alarm('e.11');
    await jest.advanceTimersByTimeAsync(2000);
    expect(acks()).toEqual([]);
    finish?.();
    await jest.advanceTimersByTimeAsync(1000);
    expect(acks()).toEqual(['ack e.11']);
  });

  test('by hand: what the application says, and heartbeats only behind it', async () => {
    await open({ ...durable, acknowledge: 'manual' });
    heartbeat('e.10');
    for (const id of ['e.11', 'e.12']) network.last.alarm(id);
    heartbeat('e.20');
    await jest.advanceTimersByTimeAsync(2000);
    expect(acks()).toEqual([]);
    connection.ack({ id: 'e.12' });
    connection.ack({ id: 'e.11' });
    await jest.advanceTimersByTimeAsync(1000);
    expect(acks()).toEqual(['ack e.12']);
    heartbeat('e.25');
    await jest.advanceTimersByTimeAsync(1000);
    expect(acks()).toEqual(['ack e.25']);
  });

  test('what comes again is not shown again, and acknowledged once this connection was sent it', async () => {
    await open(durable);
    for (const id of ['e.11', 'e.12', 'e.13']) network.last.alarm(id);
    await reconnect({ cursor: 'e.10' });
    await jest.advanceTimersByTimeAsync(2000);
    expect(acks()).toEqual([]);
    for (const id of ['e.11', 'e.12']) network.last.alarm(id);
    await jest.advanceTimersByTimeAsync(2000);
    expect(acks()).toEqual([]);
    network.last.alarm('e.13');
    await jest.advanceTimersByTimeAsync(1000);
    expect([acks(), shown]).toEqual([['ack e.13'], ['e.11', 'e.12', 'e.13']]);
  });

  test('that the server begins anew is told, unless a gap says why', async () => {
    await open(durable);
    network.last.alarm('e.11');
    await reconnect({ cursor: 'e.50' });
    heartbeat('e.50');
    await reconnect({ cursor: 'f.0', resumed: false });
    gap('e.50', 'f.1', 'epoch');
    network.last.alarm('f.1');
    expect(told).toEqual(['gap epoch']);
    await reconnect({ cursor: 'f.9', resumed: false });
    network.last.alarm('f.10');
    expect(told).toEqual(['gap epoch', 'lost f.1']);
    expect(shown).toEqual(['e.11', 'f.1', 'f.10']);
  });

  test('is stopped by the device that takes it over', async () => {
    await open(durable);
    network.last.end(4409, 'taken over by a newer connection');
    expect([connection.state, errors[0]?.code]).toEqual(['stopped', 4409]);
  });

  test('nothing else is acknowledged', async () => {
    await open();
    expect(() => connection.ack({ id: 'e.11' })).toThrow('only a durable subscription is acknowledged');
    network.last.alarm('e.11');
    await jest.advanceTimersByTimeAsync(2000);
    expect(acks()).toEqual([]);
  });
});
