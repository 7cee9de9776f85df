import { afterEach, beforeEach, describe, expect, jest, test } from '@jest/globals';
import { FlushLane } from '../../src/fan-out/flush-queue.js';
import { Frame } from '../../src/fan-out/frame.js';
import { conflationKey } from '../../src/fan-out/key.js';
import type { KeyScope } from '../../src/fan-out/key-scope.js';
import { type PushTarget, RawDataClient, type RawDataPush, RawDataRouter } from '../../src/fan-out/raw-data.router.js';
import { MemorySink } from '../support/memory.sink.js';
import { identityOf, optionsOf } from './fixtures.js';

interface Connected {
  readonly client: RawDataClient;
  readonly sink: MemorySink;
}

let router: RawDataRouter;
let lane: FlushLane;
let connected: Map<string, Connected>;
let pushCount: number;

beforeEach(() => {
  router = new RawDataRouter();
  lane = new FlushLane(
    () => {},
    0,
    () => 1,
  );
  connected = new Map();
  pushCount = 0;
});

/** Connects `clientId` as `<type>/<id>/<user>`, and subscribes it to more. */
function connect(
  clientId: string,
  path: string,
  subscriptions: readonly string[] = [],
  keyScope?: KeyScope,
): Connected {
  const [businessType = '', businessId = '', userName = ''] = path.split('/').map(decodeURIComponent);
  const sink = new MemorySink();
  const identity = identityOf({ clientId, userName });
  const client = new RawDataClient(identity, sink, optionsOf({ lane }), { businessType, businessId }, keyScope);
  router.add(client);
  for (const key of subscriptions) router.subscribe(client, addressOf(key));
  connected.set(clientId, { client, sink });
  return { client, sink };
}

function addressOf(key: string): { businessType: string; businessId: string } {
  const [businessType = '', businessId = ''] = key.split('/').map(decodeURIComponent);
  return { businessType, businessId };
}

function clientOf(clientId: string): RawDataClient {
  const client = connected.get(clientId)?.client;
  if (client === undefined) throw new Error(`${clientId} is not connected`);
  return client;
}

/** Pushes to `<type>/<id>` or `<type>`, and returns who heard it; checks `matched` and that everybody heard it once. */
function push(address: string, given: Partial<RawDataPush> = {}): string[] {
  pushCount += 1;
  const text = `push ${pushCount}`;
  const [businessType = '', businessId] = address.split('/').map(decodeURIComponent);
  const matched = router.route({
    frame: Frame.rawData(text, text),
    businessType,
    businessId,
    to: undefined,
    except: undefined,
    filter: undefined,
    ...given,
  });
  lane.run(pushCount, 0, Infinity);
  const hearers: string[] = [];
  for (const [clientId, { sink }] of connected) {
    const times = sink.texts().filter((each) => each === text).length;
    expect(times).toBeLessThanOrEqual(1);
    if (times === 1) hearers.push(clientId);
  }
  expect(matched).toBe(hearers.length);
  return hearers.toSorted();
}

const scopeOf = (type: string, id?: string): KeyScope => ({
  covers: (businessType, businessId) => businessType === type && (id === undefined || businessId === id),
});

describe('who gets a raw datum', () => {
  test('all clients of its type and id, whichever user', () => {
    connect('a', 'dev/1/alice');
    connect('b', 'dev/1/bob');
    connect('c', 'dev/2/alice');
    connect('d', 'host/1/alice');
    expect(push('dev/1')).toEqual(['a', 'b']);
  });

  test('dev:1 never reaches dev:10, nor dev:01, nor DEV:1', () => {
    connect('one', 'dev/1/u');
    connect('ten', 'dev/10/u');
    connect('zero', 'dev/01/u');
    connect('upper', 'DEV/1/u');
    expect(push('dev/1')).toEqual(['one']);
    expect(push('dev/10')).toEqual(['ten']);
    expect(push('dev/')).toEqual([]);
  });

  test.each([
    ['a colon', 'a%3Ab/c', ['a/b%3Ac', 'a/b', 'b/c', 'a%253Ab/c', 'a/c']],
    ['a percent sign', '50%25/1', ['50/1', '50%2525/1']],
    ['an encoded colon as text', 'a%253Ab/c', ['a%3Ab/c']],
    ['a slash', 'a%2Fb/c', ['a/b%2Fc', 'a/b', 'a/c']],
    ['Chinese', '%E7%94%B5%E8%A1%A8/1', ['%E7%94%B5/1', '%E7%94%B5%E8%A1%A8/11']],
    ['composed and decomposed letters', '%C3%A9/1', ['e%CC%81/1', 'e/1']],
    ['the name of a prototype property', '__proto__/constructor', ['constructor/__proto__', '__proto__/__proto__']],
    ['spaces', 'a%20/1', ['a/1', '%20a/1']],
  ])('a part with %s reaches only its own', (_, address, others) => {
    connect('own', `${address}/u`);
    others.forEach((other, i) => connect(`other ${i}`, `${other}/u`));
    expect(push(address)).toEqual(['own']);
    others.forEach((other, i) => expect(push(other)).toEqual([`other ${i}`]));
  });

  test('without a businessId every client, whatever it subscribed to', () => {
    connect('a', 'dev/1/u');
    connect('b', 'host/2/u', ['dev/1', 'dev/*']);
    connect('c', 'meter/3/u');
    router.unsubscribe(clientOf('c'), addressOf('meter/3'));
    expect(push('dev')).toEqual(['a', 'b', 'c']);
    expect(push('nobody-asked-for-this')).toEqual(['a', 'b', 'c']);
  });

  test('without a businessId only those that may see the whole type', () => {
    connect('all', 'dev/1/u');
    connect('type', 'dev/1/u', [], scopeOf('dev'));
    connect('other type', 'dev/1/u', [], scopeOf('host'));
    connect('one key', 'dev/1/u', [], scopeOf('dev', '1'));
    expect(push('dev')).toEqual(['all', 'type']);
  });

  test('two connections of one user both hear', () => {
    connect('a', 'dev/1/alice');
    connect('b', 'dev/1/alice');
    expect(push('dev/1')).toEqual(['a', 'b']);
    expect(push('dev/9', { to: { userName: 'alice' } })).toEqual(['a', 'b']);
  });

  test('a client with overlapping subscriptions hears once', () => {
    connect('a', 'dev/1/alice', ['dev/*', 'dev/1', 'dev/2', 'host/*']);
    expect(push('dev/1')).toEqual(['a']);
    expect(push('dev/2')).toEqual(['a']);
    expect(push('dev')).toEqual(['a']);
    expect(push('x/9', { to: { businessType: 'dev' } })).toEqual(['a']);
    expect(push('x/9', { to: { businessType: 'dev', businessId: '1' } })).toEqual(['a']);
    expect(push('x/9', { to: { userName: 'alice' } })).toEqual(['a']);
  });

  test('the wildcard reaches every id of its type, and no other type', () => {
    connect('wide', 'host/0/u', ['dev/*']);
    connect('one', 'dev/1/u');
    expect(push('dev/1')).toEqual(['one', 'wide']);
    expect(push('dev/77')).toEqual(['wide']);
    expect(push('de/v')).toEqual([]);
    expect(push('dev2/1')).toEqual([]);
  });

  test('subscribing to more, and unsubscribing from any, the path of the connection included', () => {
    connect('a', 'dev/1/u');
    const client = clientOf('a');
    expect(router.subscribe(client, addressOf('dev/2'))).toBe(true);
    expect(router.subscribe(client, addressOf('dev/2'))).toBe(false);
    expect(push('dev/2')).toEqual(['a']);
    expect(router.unsubscribe(client, addressOf('dev/1'))).toBe(true);
    expect(router.unsubscribe(client, addressOf('dev/1'))).toBe(false);
    expect(push('dev/1')).toEqual([]);
    expect(push('dev/2')).toEqual(['a']);
    expect(router.subscriptionsOf(client)).toEqual([addressOf('dev/2')]);
    expect(router.subscriptionCountOf(client)).toBe(1);
  });

  test('unsubscribing from the wildcard leaves the exact ones, and the other way round', () => {
    connect('a', 'dev/1/u', ['dev/*']);
    router.unsubscribe(clientOf('a'), addressOf('dev/*'));
    expect(push('dev/1')).toEqual(['a']);
    expect(push('dev/2')).toEqual([]);
    router.subscribe(clientOf('a'), addressOf('dev/*'));
    router.unsubscribe(clientOf('a'), addressOf('dev/1'));
    expect(push('dev/1')).toEqual(['a']);
  });

  test('a client that is gone hears nothing, in no way', () => {
    connect('a', 'dev/1/alice', ['dev/*', 'host/2']);
    connect('b', 'dev/1/alice');
    router.remove(clientOf('a'));
    expect(push('dev/1')).toEqual(['b']);
    expect(push('host/2')).toEqual([]);
    expect(push('dev')).toEqual(['b']);
    expect(push('x/1', { to: { userName: 'alice' } })).toEqual(['b']);
    expect(push('x/1', { to: { clientId: 'a' } })).toEqual([]);
    expect(push('x/1', { to: { businessType: 'dev' } })).toEqual(['b']);
  });
});

describe('to', () => {
  beforeEach(() => {
    connect('a1', 'dev/1/alice');
    connect('a2', 'dev/2/alice');
    connect('b1', 'dev/1/bob');
    connect('bw', 'host/1/bob', ['dev/*']);
    connect('c', 'host/1/carol');
  });

  const cases: [string, PushTarget, string[]][] = [
    ['userName', { userName: 'alice' }, ['a1', 'a2']],
    ['userName of nobody', { userName: 'alic' }, []],
    ['clientId', { clientId: 'b1' }, ['b1']],
    ['clientId of nobody', { clientId: 'b' }, []],
    ['clientId and userName that agree', { clientId: 'b1', userName: 'bob' }, ['b1']],
    ['clientId and userName that do not', { clientId: 'b1', userName: 'alice' }, []],
    ['businessType', { businessType: 'dev' }, ['a1', 'a2', 'b1', 'bw']],
    ['businessType of nobody', { businessType: 'de' }, []],
    ['businessType and businessId', { businessType: 'dev', businessId: '1' }, ['a1', 'b1', 'bw']],
    ['businessType, businessId and userName', { businessType: 'dev', businessId: '1', userName: 'bob' }, ['b1', 'bw']],
    ['businessType and userName', { businessType: 'dev', userName: 'alice' }, ['a1', 'a2']],
    ['businessType and the userName of another type', { businessType: 'dev', userName: 'carol' }, []],
    ['businessType and clientId', { businessType: 'host', clientId: 'bw' }, ['bw']],
    ['businessType, businessId and clientId', { businessType: 'dev', businessId: '7', clientId: 'bw' }, ['bw']],
    ['businessType, another businessId and clientId', { businessType: 'dev', businessId: '2', clientId: 'a1' }, []],
    ['all four', { businessType: 'dev', businessId: '2', userName: 'alice', clientId: 'a2' }, ['a2']],
    ['all four, one wrong', { businessType: 'dev', businessId: '1', userName: 'alice', clientId: 'a2' }, []],
    ['nothing', {}, []],
  ];

  test.each(cases)('%s', (_, to, hearers) => {
    expect(push('dev/1', { to })).toEqual(hearers);
  });

  test('replaces the address of the datum', () => {
    expect(push('dev/1', { to: { clientId: 'c' } })).toEqual(['c']);
    expect(push('dev', { to: { userName: 'carol' } })).toEqual(['c']);
  });
});

describe('except and the delivery filter', () => {
  beforeEach(() => {
    connect('a', 'dev/1/alice');
    connect('b', 'dev/1/bob');
    connect('c', 'dev/2/carol');
  });

  test.each([
    ['an exact push', 'dev/1', undefined, ['b']],
    ['a broadcast', 'dev', undefined, ['b', 'c']],
    ['a push to the type', 'x/1', { businessType: 'dev' }, ['b', 'c']],
    ['a push to the user', 'x/1', { userName: 'alice' }, []],
    ['a push to the client itself', 'x/1', { clientId: 'a' }, []],
  ])('except leaves one out of %s', (_, address, to, hearers) => {
    expect(push(address, { to, except: 'a' })).toEqual(hearers);
  });

  test('except of a stranger changes nothing', () => {
    expect(push('dev/1', { except: 'z' })).toEqual(['a', 'b']);
  });

  test('the filter is asked for matched clients only, once each, and what it refuses is not counted', () => {
    router.subscribe(clientOf('a'), addressOf('dev/*'));
    const asked: string[] = [];
    const filter = (client: RawDataClient) => {
      asked.push(client.clientId);
      return client.clientId !== 'b';
    };
    expect(push('dev/1', { filter })).toEqual(['a']);
    expect(asked.toSorted()).toEqual(['a', 'b']);
  });

  test('the filter is not asked for the one that is left out', () => {
    const asked: string[] = [];
    push('dev/1', { except: 'b', filter: ({ clientId }) => asked.push(clientId) > 0 });
    expect(asked).toEqual(['a']);
  });

  test('a push from within the filter leaves the outer one exact', () => {
    connect('both', 'host/1/w', ['dev/*', 'dev/1']);
    connect('wide', 'host/1/w', ['dev/*']);
    const inner = Frame.rawData('inner', 'inner');
    const broadcast = {
      businessType: 'dev',
      businessId: undefined,
      to: undefined,
      except: undefined,
      filter: undefined,
    };
    const filter = () => {
      router.route({ ...broadcast, frame: inner });
      return true;
    };
    expect(push('dev/1', { filter })).toEqual(['a', 'b', 'both', 'wide']);
  });
});

describe('a rate that is changed counts from the last value that passed', () => {
  const at = { businessType: 'dev', businessId: '1' };
  const type = { businessType: 'dev', businessId: '*' };
  let sink: MemorySink;
  let client: RawDataClient;

  beforeEach(() => {
    jest.useFakeTimers();
    ({ sink, client } = connect('a', 'dev/1/alice'));
    router.subscribe(client, { ...at, maxFrequencyHz: 1 });
  });

  afterEach(() => {
    router.remove(client);
    jest.advanceTimersByTime(10);
    jest.useRealTimers();
  });

  function pushValue(n: number): void {
    const frame = Frame.rawData(String(n), conflationKey('dev', '1', 'a'));
    router.route({ ...at, frame, to: undefined, except: undefined, filter: undefined });
  }

  function heard(): string[] {
    lane.run(1, 0, Infinity);
    return sink.texts();
  }

  test('by one more subscription, which is faster: what is due by it passes at once', () => {
    for (const n of [1, 2]) pushValue(n);
    jest.advanceTimersByTime(500);
    expect(heard()).toEqual(['1']);
    router.subscribe(client, { ...type, maxFrequencyHz: 2 });
    router.repace(client);
    expect(heard()).toEqual(['1', '2']);
  });

  test('by the end of the faster one: what waits goes on to wait', () => {
    router.subscribe(client, { ...type, maxFrequencyHz: 5 });
    for (const n of [1, 2]) pushValue(n);
    router.unsubscribe(client, type);
    router.repace(client);
    jest.advanceTimersByTime(990);
    expect(heard()).toEqual(['1']);
    jest.advanceTimersByTime(20);
    expect(heard()).toEqual(['1', '2']);
  });
});

test('the router knows nobody when all are gone', () => {
  for (let n = 0; n < 50; n++) connect(`c${n}`, `t${n % 3}/${n}/u${n % 5}`, ['t0/*', `x/${n}`]);
  for (const { client } of connected.values()) router.remove(client);
  const counted = Object.entries(router).flatMap(([name, value]: [string, unknown]) =>
    value instanceof Map || value instanceof Set ? [[name, value.size]] : [],
  );
  expect(counted.length).toBeGreaterThan(0);
  expect(counted.every(([, size]) => size === 0)).toBe(true);
  expect(push('t0')).toEqual([]);
});
