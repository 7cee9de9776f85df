import { setTimeout as afterMs } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { Logger } from '@nestjs/common';
import { FlushQueue } from '../../src/fan-out/flush-queue.js';
import { Frame, WireFormat } from '../../src/fan-out/frame.js';
import type { KeyScope } from '../../src/fan-out/key-scope.js';
import { rawDataKey } from '../../src/fan-out/key.js';
import type { RawDataClient } from '../../src/fan-out/raw-data.router.js';
import { resolvePushOptions } from '../../src/push.options.js';
import type { RawDataRegistry } from '../../src/registry/raw-data.registry.js';
import type { RawDataSubscriptions } from '../../src/registry/raw-data.subscriptions.js';
import { MemorySink } from '../support/memory.sink.js';
import { createRawData } from './raw-data.fixture.js';

let registry: RawDataRegistry;
let subscriptions: RawDataSubscriptions;
let flushQueue: FlushQueue;
let sinks: Map<string, MemorySink>;
let clients: Map<string, RawDataClient>;

beforeEach(() => {
  Logger.overrideLogger(false);
  flushQueue = new FlushQueue({ flushIntervalMs: 0 });
  ({ registry, subscriptions } = createRawData(resolvePushOptions({ maxSubscriptionsPerClient: 5 }), flushQueue));
  sinks = new Map();
  clients = new Map();
});

afterEach(() => {
  flushQueue.close();
  Logger.overrideLogger(['log', 'error', 'warn', 'debug', 'verbose', 'fatal']);
});

function connect(
  clientId: string,
  keyScope?: KeyScope,
  format: WireFormat = WireFormat.plain,
  greet = () => {},
): RawDataClient {
  const sink = new MemorySink();
  const key = rawDataKey('dev', '1', 'alice', clientId);
  const client = registry.createClient(
    { clientId, key, userName: 'alice', remoteAddress: '10.0.0.1', format },
    sink,
    { businessType: 'dev', businessId: '1' },
    keyScope,
  );
  sinks.set(clientId, sink);
  clients.set(clientId, client);
  registry.register(client, greet);
  return client;
}

function textsOf(clientId: string): string[] {
  flushQueue.flushAll();
  return sinks.get(clientId)?.texts() ?? [];
}

const at = (businessType: string, businessId: string) => ({ businessType, businessId });
const push = (text: string) =>
  registry.route({
    ...at('dev', '1'),
    frame: Frame.rawData(text, text),
    to: undefined,
    except: undefined,
    filter: undefined,
  });

describe('who is connected', () => {
  test('count and clients, oldest first', () => {
    connect('a');
    connect('b', undefined, WireFormat.pushV1);
    expect(registry.count()).toBe(2);
    expect(registry.clients()).toEqual([
      {
        clientId: 'a',
        key: 'websocket:rowdata:dev:1:alice:a',
        userName: 'alice',
        remoteAddress: '10.0.0.1',
        wireFormat: 'plain',
        connectedAt: expect.any(Date),
        behind: 0,
        inFlightBytes: 0,
        outboxBytes: 0,
        conflated: 0,
      },
      expect.objectContaining({ clientId: 'b', wireFormat: 'push.v1' }),
    ]);
  });

  test('what a client holds and has in flight can be seen', () => {
    connect('a');
    push('0123456789');
    expect(registry.clients()[0]?.outboxBytes).toBeGreaterThan(0);
    flushQueue.flushAll();
    expect(registry.clients()[0]).toMatchObject({ outboxBytes: 0, inFlightBytes: 12 });
  });

  test('a client that has left is gone, and its end is told once', () => {
    const ends: [string, number, string][] = [];
    registry.disconnected$.subscribe(({ client, code, reason }) => ends.push([client.clientId, code, reason]));
    const client = connect('a');
    registry.unregister(client, 4000, 'bye');
    registry.unregister(client, 1006, '');
    expect(ends).toEqual([['a', 4000, 'bye']]);
    expect(registry.count()).toBe(0);
    expect(client.state).toBe('closed');
    expect(push('x')).toBe(0);
    expect(registry.subscriptions('a')).toEqual([]);
  });

  test('is connected when its listeners hear of it, and greeted before any datum', () => {
    const seen: string[] = [];
    registry.connected$.subscribe(({ client }) => {
      seen.push(`${client.clientId} of ${registry.count()}`);
      push('datum');
    });
    const client = connect('a', undefined, WireFormat.plain, () => clients.get('a')?.offer(Frame.text('hello')));
    expect(seen).toEqual(['a of 1']);
    expect(client.state).toBe('open');
    expect(textsOf('a')).toEqual(['hello', 'datum']);
  });

  test('a listener may disconnect a client as soon as it is connected', () => {
    registry.connected$.subscribe(({ client }) => registry.disconnect(client.clientId, 4000, 'no'));
    connect('a', undefined, WireFormat.plain, () => clients.get('a')?.offer(Frame.text('hello')));
    expect(sinks.get('a')?.closed).toEqual({ code: 4000, reason: 'no' });
    expect(sinks.get('a')?.texts()).toEqual(['hello']);
  });

  test('listeners that throw or reject harm neither the client nor the process', async () => {
    for (const events of [registry.connected$, registry.disconnected$, registry.messages$]) {
      events.subscribe(() => {
        throw new Error('broken');
      });
      events.subscribe(async () => {
        throw new Error('broken later');
      });
    }
    const client = connect('a');
    expect(registry.emitMessage(client, undefined, 'hi')).toBe(true);
    expect(push('datum')).toBe(1);
    expect(textsOf('a')).toEqual(['datum']);
    registry.unregister(client, 1000, '');
    // What is left uncaught is raised within a turn of the timers, and the test runner then fails this test.
    await afterMs(2);
    expect(registry.count()).toBe(0);
  });

  test('whenEmpty resolves when the last one is gone', async () => {
    await registry.whenEmpty();
    const [a, b] = [connect('a'), connect('b')];
    let isEmpty = false;
    const empty = registry.whenEmpty().then(() => (isEmpty = true));
    registry.unregister(a, 1000, '');
    await Promise.resolve();
    expect(isEmpty).toBe(false);
    registry.unregister(b, 1000, '');
    await empty;
    expect(isEmpty).toBe(true);
  });
});

describe('messages$', () => {
  test('is told what clients sent, and whether anybody listens', () => {
    const client = connect('a');
    expect(registry.emitMessage(client, undefined, 'hi')).toBe(false);
    const sent: unknown[] = [];
    const subscription = registry.messages$.subscribe((message) =>
      sent.push([message.client.clientId, message.event, message.data]),
    );
    expect(registry.emitMessage(client, undefined, 'hi')).toBe(true);
    expect(registry.emitMessage(client, 'chat', { text: 'hi' })).toBe(true);
    subscription.unsubscribe();
    expect(registry.emitMessage(client, 'chat', {})).toBe(false);
    expect(sent).toEqual([
      ['a', undefined, 'hi'],
      ['a', 'chat', { text: 'hi' }],
    ]);
  });
});

describe('broadcast', () => {
  test('reaches everybody, as it is, on both wires', () => {
    connect('a');
    connect('b', undefined, WireFormat.pushV1);
    expect(registry.broadcast('not even JSON')).toBe(2);
    expect(textsOf('a')).toEqual(['not even JSON']);
    expect(textsOf('b')).toEqual(['not even JSON']);
  });

  test('except one', () => {
    connect('a');
    connect('b');
    expect(registry.broadcast('x', { except: 'a' })).toBe(1);
    expect(registry.broadcast('y', { except: 'nobody' })).toBe(2);
    expect(textsOf('a')).toEqual(['y']);
    expect(textsOf('b')).toEqual(['x', 'y']);
  });

  test('to nobody', () => {
    expect(registry.broadcast('x')).toBe(0);
  });
});

describe('disconnect', () => {
  test.each([
    [1000, ''],
    [1001, 'going'],
    [1008, 'policy'],
    [1012, ''],
    [1014, ''],
    [3000, ''],
    [4000, 'x'.repeat(123)],
    [4999, '电'.repeat(41)],
  ])('with %d %j', (code, reason) => {
    connect('a');
    expect(registry.disconnect('a', code, reason)).toBe(true);
    expect(sinks.get('a')?.closed).toEqual({ code, reason });
  });

  test('without a code is a normal end', () => {
    connect('a');
    registry.disconnect('a');
    expect(sinks.get('a')?.closed).toEqual({ code: 1000, reason: '' });
  });

  test('of a stranger says so', () => {
    expect(registry.disconnect('nobody')).toBe(false);
  });

  test.each([0, 999, 1002, 1004, 1005, 1006, 1007, 1015, 1016, 2999, 5000, 1000.5, -1, Number.NaN, Infinity])(
    'the code %d may not be sent',
    (code) => {
      connect('a');
      expect(() => registry.disconnect('a', code)).toThrow(RangeError);
      expect(sinks.get('a')?.closed).toBeUndefined();
    },
  );

  test.each(['x'.repeat(124), '电'.repeat(42)])('a reason over 123 bytes may not be sent', (reason) => {
    connect('a');
    expect(() => registry.disconnect('a', 4000, reason)).toThrow(RangeError);
    expect(sinks.get('a')?.closed).toBeUndefined();
  });
});

test('10,000 clients that come and go leave nothing behind', () => {
  for (let n = 0; n < 10_000; n++) {
    const client = connect(`c${n}`);
    subscriptions.subscribe(client, [at(`t${n}`, '*')]);
    registry.unregister(client, 1006, '');
  }
  expect(registry.count()).toBe(0);
  expect(registry.clients()).toEqual([]);
  expect(registry.broadcast('x')).toBe(0);
});
