import { afterEach, beforeEach, describe, expect, jest, test } from '@jest/globals';
import { Logger } from '@nestjs/common';
import { FlushQueue } from '../../src/fan-out/flush-queue.js';
import { Frame, WireFormat } from '../../src/fan-out/frame.js';
import type { KeyScope } from '../../src/fan-out/key-scope.js';
import { RateGate } from '../../src/fan-out/rate-gate.js';
import type { RawDataClient } from '../../src/fan-out/raw-data.router.js';
import { resolvePushOptions } from '../../src/push.options.js';
import type { RawDataRegistry } from '../../src/registry/raw-data.registry.js';
import type { RawDataSubscriptions } from '../../src/registry/raw-data.subscriptions.js';
import { MemorySink } from '../support/memory.sink.js';
import { createRawData } from './raw-data.fixture.js';

let registry: RawDataRegistry;
let subscriptions: RawDataSubscriptions;
let flushQueue: FlushQueue;

beforeEach(() => {
  Logger.overrideLogger(false);
  flushQueue = new FlushQueue({ flushIntervalMs: 0 });
  const options = resolvePushOptions({ maxSubscriptionsPerClient: 5 });
  ({ registry, subscriptions } = createRawData(options, flushQueue));
});

afterEach(() => {
  flushQueue.close();
  Logger.overrideLogger(['log', 'error', 'warn', 'debug', 'verbose', 'fatal']);
});

function connect(keyScope?: KeyScope): RawDataClient {
  const identity = { clientId: 'a', key: 'a', userName: 'alice', remoteAddress: '', format: WireFormat.plain };
  const client = registry.createClient(identity, new MemorySink(), at('dev', '1'), keyScope);
  registry.register(client, () => {});
  return client;
}

const at = (businessType: string, businessId: string) => ({ businessType, businessId });

const push = () =>
  registry.route({
    ...at('dev', '1'),
    frame: Frame.rawData('x', 'x'),
    to: undefined,
    except: undefined,
    filter: undefined,
  });

describe('subscriptions', () => {
  test('are answered; the path of the connection counts', () => {
    const client = connect();
    const keys = [at('dev', '2'), { ...at('host', '*'), maxFrequencyHz: 2 }];
    expect(subscriptions.subscribe(client, keys)).toEqual({ keys, refused: [] });
    expect(registry.subscriptions('a')).toEqual([at('dev', '1'), ...keys]);
  });

  test('over the limit are refused, each for itself', () => {
    const client = connect();
    const keys = ['2', '3', '4', '5', '6', '7'].map((id) => at('dev', id));
    expect(subscriptions.subscribe(client, keys)).toEqual({
      keys: keys.slice(0, 4),
      refused: keys.slice(4).map((key) => ({ ...key, reason: 'limit' })),
    });
    expect(subscriptions.subscribe(client, keys.slice(0, 1))).toEqual({ keys: keys.slice(0, 1), refused: [] });
    expect(subscriptions.unsubscribe(client, [at('dev', '1')])).toEqual([at('dev', '1')]);
    expect(subscriptions.subscribe(client, keys.slice(4, 5)).refused).toEqual([]);
  });

  test('that the claims forbid are refused, a whole type only where all of it may be seen', () => {
    const keyScope: KeyScope = {
      covers: (businessType, businessId) => businessType === 'all' || (businessType === 'dev' && businessId === '2'),
    };
    const client = connect(keyScope);
    const { keys, refused } = subscriptions.subscribe(client, [
      at('dev', '2'),
      at('dev', '3'),
      at('dev', '*'),
      at('all', '*'),
      at('none', '1'),
    ]);
    expect(keys).toEqual([at('dev', '2'), at('all', '*')]);
    expect(refused.map(({ reason }) => reason)).toEqual(['forbidden', 'forbidden', 'forbidden']);
  });

  test('unsubscribing answers with what there was', () => {
    const client = connect();
    subscriptions.subscribe(client, [at('dev', '2')]);
    expect(subscriptions.unsubscribe(client, [at('dev', '2'), at('dev', '9'), at('dev', '1')])).toEqual([
      at('dev', '2'),
      at('dev', '1'),
    ]);
    expect(registry.subscriptions('a')).toEqual([]);
    expect(push()).toBe(0);
  });

  test('of one message go through what waits for the client once', () => {
    const client = connect();
    const keys = ['2', '3', '4'].map((id) => ({ ...at('dev', id), maxFrequencyHz: 1 }));
    subscriptions.subscribe(client, keys);
    const repace = jest.spyOn(RateGate.prototype, 'repace');
    subscriptions.subscribe(client, keys);
    expect(repace).toHaveBeenCalledTimes(1);
    subscriptions.unsubscribe(client, keys);
    expect(repace).toHaveBeenCalledTimes(2);
    repace.mockRestore();
  });

  test('of a stranger are none', () => {
    expect(registry.subscriptions('nobody')).toEqual([]);
  });
});
