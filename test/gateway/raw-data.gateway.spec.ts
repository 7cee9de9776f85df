import { EventEmitter } from 'node:events';
import type { IncomingMessage } from 'node:http';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { Logger } from '@nestjs/common';
import { ClaimsAuthorizer } from '../../src/access/push.authorizer.js';
import { FlushQueue } from '../../src/fan-out/flush-queue.js';
import { Frame, WireFormat } from '../../src/fan-out/frame.js';
import type { KeyScope } from '../../src/fan-out/key-scope.js';
import { conflationKey } from '../../src/fan-out/key.js';
import type { RawDataClient } from '../../src/fan-out/raw-data.router.js';
import { RawDataGateway } from '../../src/gateway/raw-data.gateway.js';
import type { ClientMessage } from '../../src/protocol/client-message.js';
import type { SubscriptionRequest } from '../../src/protocol/messages.js';
import { resolvePushOptions } from '../../src/push.options.js';
import { Degradation } from '../../src/registry/degradation.js';
import type { RawDataRegistry } from '../../src/registry/raw-data.registry.js';
import { createRawData } from '../registry/raw-data.fixture.js';
import { SharedNode, SharedRedis } from '../registry/shared.redis.js';
import { turn } from '../support/deadline.js';
import { MemorySink } from '../support/memory.sink.js';
import { createConnections } from './connections.fixture.js';

/** Twice as many may wait. */
const MAX_MESSAGES_PER_SECOND = 5;

let node: SharedNode;
let other: SharedNode;
let flushQueue: FlushQueue;
let registry: RawDataRegistry;
let gateway: RawDataGateway;
let sink: MemorySink;
let seen: number;

beforeEach(() => {
  seen = 0;
  Logger.overrideLogger(false);
  const redis = new SharedRedis(1);
  node = new SharedNode(redis, 'here');
  other = new SharedNode(redis, 'other');
  const options = resolvePushOptions({
    maxMessagesPerSecond: MAX_MESSAGES_PER_SECOND,
    maxKeysPerSecond: 1,
    maxSubscriptionsPerClient: 3,
  });
  flushQueue = new FlushQueue(options);
  const created = createRawData(options, flushQueue, { bus: node, store: node });
  ({ registry } = created);
  const { connections } = createConnections(options);
  gateway = new RawDataGateway(
    options,
    registry,
    created.subscriptions,
    connections,
    new Degradation(node),
    new ClaimsAuthorizer(),
    created.coverage,
  );
  sink = new MemorySink();
});

afterEach(() => {
  flushQueue.close();
  Logger.overrideLogger(['log', 'error', 'warn', 'debug', 'verbose', 'fatal']);
});

function connect(keyScope?: KeyScope): RawDataClient {
  const identity = { clientId: 'c', key: 'c', userName: 'ann', remoteAddress: '', format: WireFormat.pushV1 };
  const client = registry.createClient(identity, sink, { businessType: 'dev', businessId: '1' }, keyScope);
  registry.register(client, () => {});
  while (node.step(() => 0));
  return client;
}

const key = (businessId: string, asked: Partial<SubscriptionRequest> = {}) => ({
  businessType: 'dev',
  businessId,
  ...asked,
});

function ask(client: RawDataClient, event: 'subscribe' | 'unsubscribe', ...keys: SubscriptionRequest[]): void {
  gateway.handle(client, { event, data: { keys }, ref: undefined } as ClientMessage);
}

/** `subscribed 2,3`, `rawData 7` of all that the client was sent since it was looked at last. */
function heard(): string[] {
  flushQueue.flushAll();
  const texts = sink.texts().slice(seen);
  seen += texts.length;
  return texts.map((text) => {
    const { event, data } = JSON.parse(text) as { event: string; data: { keys?: SubscriptionRequest[]; n?: number } };
    return `${event} ${data.keys?.map(({ businessId }) => businessId).join() ?? data.n}`;
  });
}

function pushElsewhere(businessId: string, n: number): void {
  const address = { businessType: 'dev', businessId, to: undefined, except: undefined };
  other.send({ datumJson: `{"n":${n}}`, conflationKey: conflationKey('dev', businessId, ''), ...address });
  while (other.step(() => 0));
}

async function settle(): Promise<void> {
  do await turn();
  while (node.step(() => 0));
}

describe('a subscription on several nodes', () => {
  test('is answered when it is in force, with the last values behind the answer', async () => {
    pushElsewhere('2', 7);
    const client = connect();
    ask(client, 'subscribe', key('2', { snapshot: true }));
    await turn();
    expect(heard()).toEqual([]);
    await settle();
    expect(heard()).toEqual(['subscribed 2', 'rawData 7']);
  });

  test('what is asked behind it is answered behind it', async () => {
    const client = connect();
    ask(client, 'subscribe', key('2'));
    ask(client, 'unsubscribe', key('2'), key('1'));
    ask(client, 'subscribe', key('1'));
    ask(client, 'unsubscribe', key('3'));
    await settle();
    expect(heard()).toEqual(['subscribed 2', 'unsubscribed 2,1', 'subscribed 1', 'unsubscribed ']);
    expect(registry.subscriptions('c')).toEqual([key('1')]);
  });

  test('of keys that are covered already is answered at once', async () => {
    const client = connect();
    ask(client, 'subscribe', key('2'));
    await settle();
    heard();
    ask(client, 'subscribe', key('2'));
    ask(client, 'unsubscribe', key('1'));
    expect(heard()).toEqual(['subscribed 2', 'unsubscribed 1']);
  });

  test('of a client that goes away meanwhile leaves nothing behind', async () => {
    const client = connect();
    ask(client, 'subscribe', key('2'));
    ask(client, 'subscribe', key('3'));
    registry.unregister(client, 1006, '');
    await settle();
    expect(node.wants.size).toBe(0);
    expect(sink.texts()).toEqual([]);
  });

  test('that is refused is wanted nowhere', async () => {
    const client = connect({ covers: (_type, businessId) => businessId !== 'secret' });
    ask(client, 'subscribe', key('secret'), key('2'), key('3'), key('4'), key('5'));
    const wanted = [...node.wants.keys()].join();
    expect(['secret', '2', '3', '4', '5'].filter((id) => wanted.includes(`"businessId":"${id}"`))).toEqual(['2', '3']);
    await settle();
    expect(heard()).toEqual(['subscribed 2,3']);
    expect(node.wants.size).toBe(7);
  });

  test('too many that wait are too many messages', async () => {
    const client = connect();
    for (let n = 0; n <= 2 * MAX_MESSAGES_PER_SECOND; n++) ask(client, 'subscribe', key(`${n}`));
    expect(sink.closed).toEqual({ code: 4429, reason: 'too many messages' });
    await settle();
    registry.unregister(client, 4429, '');
    expect(node.wants.size).toBe(0);
  });

  test('too many keys, and values for them, are too many messages', async () => {
    pushElsewhere('2', 1);
    const client = connect();
    const ofOther = Array.from({ length: 10 }, (_, n) => key(`none-${n}`));
    // Room is for 40 keys and values.
    for (let n = 0; n < 3; n++) {
      ask(client, 'unsubscribe', ...ofOther);
      ask(client, 'subscribe', key('2', { snapshot: true }));
      await settle();
    }
    expect(sink.closed).toBeUndefined();
    ask(client, 'unsubscribe', key('2'), key('3'), key('4'), key('5'));
    expect(sink.closed).toBeUndefined();
    ask(client, 'subscribe', key('1'));
    expect(sink.closed).toEqual({ code: 4429, reason: 'too many messages' });
    registry.unregister(client, 4429, '');
    expect(node.wants.size).toBe(0);
  });

  test('too many keys do not wait for their turn', () => {
    const client = connect();
    ask(client, 'subscribe', key('2'));
    ask(client, 'subscribe', ...Array.from({ length: 40 }, (_, n) => key(`none-${n}`)));
    expect(sink.closed).toEqual({ code: 4429, reason: 'too many messages' });
  });

  test('a connection gives up its own cover once it is registered', async () => {
    const socket = new EventEmitter();
    const released: string[] = [];
    const admission = {
      clientId: 'c',
      handshake: { parameters: { businessType: 'dev', businessId: '1', userName: 'ann' }, remoteAddress: '' },
      format: WireFormat.plain,
      session: { principal: {} },
      subscription: {},
      cover: { ready: undefined, release: () => released.push(`${registry.count()} client`) },
    };
    const request = { socket: new EventEmitter() } as unknown as IncomingMessage;
    gateway.handleConnection(socket as never, request, admission as never);
    expect(released).toEqual(['1 client']);
    expect(registry.clients()[0]?.clientId).toBe('c');
    registry.route({
      frame: Frame.rawData('{}', 'k'),
      ...key('1'),
      to: undefined,
      except: undefined,
      filter: undefined,
    });
    expect(registry.clients()[0]?.outboxBytes).toBeGreaterThan(0);
  });
});
