import { afterEach, beforeEach, describe, expect, jest, test } from '@jest/globals';
import type { RefusedKey, SubscriptionRequest } from '../../src/protocol/messages.js';
import { connectRawData, type PushClientError, type RawDataConnection } from '../../src/sdk/index.js';
import { forgeToken, secondsFromNow } from '../support/tokens.js';
import { dataOf, FakeNetwork, type Sent } from './fake.socket.js';

const ADDRESS = { base: 'https://push.test', businessType: 'meter', businessId: '7', userName: 'ann' };
const PATH = { businessType: 'meter', businessId: '7' };
const A = { businessType: 'meter', businessId: 'a', snapshot: true };
const B = { businessType: 'pump', businessId: '*', maxFrequencyHz: 2 };

let network: FakeNetwork;
let connection: RawDataConnection;
let refused: RefusedKey[];
let errors: PushClientError[];

beforeEach(async () => {
  jest.useFakeTimers();
  jest.spyOn(Math, 'random').mockReturnValue(1);
  network = new FakeNetwork();
  refused = [];
  errors = [];
  connection = connectRawData({ ...ADDRESS, WebSocket: network.WebSocket });
  connection.on('refused', (keys) => refused.push(...keys));
  connection.on('error', (error) => errors.push(error));
  await settle();
});

afterEach(() => {
  connection.close();
  jest.useRealTimers();
  jest.restoreAllMocks();
});

const settle = () => jest.advanceTimersByTimeAsync(0);

async function reconnect(): Promise<void> {
  network.last.end(1012);
  await jest.advanceTimersByTimeAsync(1000);
  network.last.greet();
}

function answer(sent: Sent | undefined, refuse: RefusedKey[] = []): void {
  const ref = sent?.ref ?? 0;
  if (sent?.event === 'unsubscribe') {
    network.last.receive('unsubscribed', { keys: dataOf(sent, 'unsubscribe').keys }, { ref });
    return;
  }
  const { keys } = dataOf(sent, 'subscribe');
  const given = keys.filter(({ businessId }) => !refuse.some((key) => key.businessId === businessId));
  network.last.receive('subscribed', { keys: given, refused: refuse }, { ref });
}

/** What was sent, in short. */
function asked(sent: readonly Sent[] = network.last.sent()): unknown[] {
  return sent.map(({ event, data }) => [
    event,
    ...((data['keys'] ?? []) as SubscriptionRequest[]).map(({ businessId }) => businessId),
  ]);
}

describe('subscribing', () => {
  test('resolves with the answer, what is refused included', async () => {
    network.last.greet();
    const [all, some, none] = [
      connection.subscribe([A, B]),
      connection.subscribe([{ businessType: 'meter', businessId: 'x' }]),
      connection.subscribe([]),
    ];
    const [first, second] = network.last.sent();
    expect(first).toEqual({ event: 'subscribe', ref: expect.any(Number), data: { keys: [A, B] } });
    const no = { businessType: 'meter', businessId: 'x', reason: 'forbidden' } as const;
    answer(second, [no]);
    answer(first);
    expect(await all).toEqual({ keys: [A, B], refused: [] });
    expect(await some).toEqual({ keys: [], refused: [no] });
    expect(await none).toEqual({ keys: [], refused: [] });
    expect(refused).toEqual([no]);
  });

  test('waits for a connection', async () => {
    const result = connection.subscribe([A]);
    expect(network.last.texts).toEqual([]);
    network.last.greet();
    answer(network.last.sent()[0]);
    expect(await result).toMatchObject({ keys: [A] });
  });

  test('one that was not answered is asked for on the next connection, in its place', async () => {
    network.last.greet();
    const results = [connection.subscribe([A]), connection.unsubscribe([PATH]), connection.subscribe([B])];
    answer(network.last.sent()[0]);
    await reconnect();
    const sent = network.last.sent();
    expect(asked(sent)).toEqual([
      ['subscribe', 'a'],
      ['unsubscribe', '7'],
      ['subscribe', '*'],
    ]);
    for (const each of sent) answer(each);
    expect((await Promise.all(results)).map(({ keys }) => keys)).toEqual([[A], [PATH], [B]]);
  });

  test('an exception rejects it, and only it', async () => {
    network.last.greet();
    const bad = connection.subscribe([{ businessType: '', businessId: 'x' }]);
    const good = connection.subscribe([A]);
    const [first, second] = network.last.sent();
    network.last.receive('exception', { code: 'badMessage', message: 'too short' }, { ref: first?.ref ?? 0 });
    answer(second);
    await expect(bad).rejects.toMatchObject({ fault: 'request', code: 'badMessage', message: 'too short' });
    await good;
    await reconnect();
    expect(asked()).toEqual([['subscribe', 'a']]);
  });

  test('is rejected when the connection is over, before or after', async () => {
    network.last.greet();
    const pending = connection.subscribe([A]);
    connection.close();
    await expect(pending).rejects.toMatchObject({ fault: 'closed' });
    await expect(connection.unsubscribe([A])).rejects.toMatchObject({ fault: 'closed' });
  });

  test('is rejected with what stopped the connection', async () => {
    const pending = connection.subscribe([A]);
    network.last.greet();
    network.last.end(4403, 'forbidden');
    await expect(pending).rejects.toMatchObject({ fault: 'stopped', code: 4403 });
  });
});

describe('a new connection', () => {
  test('is subscribed to what the one before was: as it was asked for last, and not to what was given up', async () => {
    network.last.greet();
    void connection.subscribe([A, B, { businessType: 'pump', businessId: 'c' }]);
    void connection.unsubscribe([{ businessType: 'pump', businessId: 'c' }]);
    void connection.subscribe([{ ...A, maxFrequencyHz: 5 }]);
    for (const sent of network.last.sent()) answer(sent);
    await reconnect();
    expect(network.last.sent()).toMatchObject([
      { event: 'subscribe', data: { keys: [{ ...A, maxFrequencyHz: 5 }, B] } },
    ]);
  });

  test('gets the key of its path by the path, unless that was changed or given up', async () => {
    network.last.greet();
    await reconnect();
    expect(asked()).toEqual([]);
    void connection.subscribe([{ ...PATH, maxFrequencyHz: 3 }]);
    answer(network.last.sent()[0]);
    await reconnect();
    expect(asked()).toEqual([['subscribe', '7']]);
    void connection.unsubscribe([PATH]);
    answer(network.last.sent()[0]);
    await reconnect();
    expect(asked()).toEqual([['unsubscribe', '7']]);
    void connection.subscribe([PATH]);
    for (const sent of network.last.sent()) answer(sent);
    await reconnect();
    expect(asked()).toEqual([['subscribe', '7']]);
  });

  test('what it is refused is told and not asked for again', async () => {
    network.last.greet();
    void connection.subscribe([A, B]);
    answer(network.last.sent()[0]);
    await reconnect();
    answer(network.last.sent()[0], [{ businessType: 'meter', businessId: 'a', reason: 'forbidden' }]);
    expect(refused).toMatchObject([{ businessId: 'a', reason: 'forbidden' }]);
    await reconnect();
    expect(asked()).toEqual([['subscribe', '*']]);
  });

  test('where the last values are too large by now, it goes on without them', async () => {
    network.last.greet();
    void connection.subscribe([A, B]);
    answer(network.last.sent()[0]);
    await reconnect();
    answer(network.last.sent()[0], [{ businessType: 'meter', businessId: 'a', reason: 'tooLarge' }]);
    const [again] = network.last.sent();
    expect(again?.data).toEqual({ keys: [{ businessType: 'meter', businessId: 'a' }] });
    expect(refused).toEqual([]);
  });

  test('an exception for it is told', async () => {
    network.last.greet();
    void connection.subscribe([A]);
    answer(network.last.sent()[0]);
    await reconnect();
    const [sent] = network.last.sent();
    network.last.receive('exception', { code: 'badMessage', message: 'no' }, { ref: sent?.ref ?? 0 });
    expect(errors).toMatchObject([{ fault: 'request', message: 'no' }]);
  });

  test('a key that a fresh token does not cover is told and not asked for again', async () => {
    const tokens = ['first', 'second'];
    connection.close();
    const token = () => tokenNamed(tokens.shift() ?? '');
    connection = connectRawData({ ...ADDRESS, WebSocket: network.WebSocket, token });
    connection.on('refused', (keys) => refused.push(...keys));
    await settle();
    network.last.greet({ heartbeatMs: 0 });
    void connection.subscribe([A]);
    answer(network.last.sent()[0]);
    await jest.advanceTimersByTimeAsync(31_000);
    const [auth] = network.last.sent();
    const lost = { businessType: 'meter', businessId: 'a', reason: 'forbidden' } as const;
    network.last.receive('subscribed', { keys: [PATH], refused: [lost] }, { ref: auth?.ref ?? 0 });
    expect(refused).toEqual([lost]);
    await reconnect();
    expect(asked()).toEqual([]);
  });
});

describe('many keys', () => {
  const many = Array.from({ length: 700 }, (_, n) => ({ businessType: '温度', businessId: `${'ö'.repeat(20)}${n}` }));

  test('go in messages of at most 16 KiB, one by one, and what comes after waits', async () => {
    network.last.greet();
    const result = connection.subscribe(many);
    const other = connection.unsubscribe(many.slice(-1));
    const order: unknown[] = [];
    for (let sent = network.last.sent(); sent.length > 0; sent = network.last.sent()) {
      for (const each of sent) {
        expect(Buffer.byteLength(JSON.stringify(each))).toBeLessThanOrEqual(16 * 1024);
        order.push(each.event);
      }
      expect(sent.length).toBeLessThanOrEqual(2);
      for (const each of sent) answer(each);
    }
    expect((await result).keys).toHaveLength(700);
    await other;
    expect(new Set(order.slice(0, -1))).toEqual(new Set(['subscribe']));
    expect(order.at(-1)).toBe('unsubscribe');
  });

  test('a malformed one among them ends the rest', async () => {
    network.last.greet();
    const result = connection.subscribe(many);
    const [first] = network.last.sent();
    network.last.receive('exception', { code: 'badMessage', message: 'no' }, { ref: first?.ref ?? 0 });
    expect(network.last.sent()).toEqual([]);
    await expect(result).rejects.toMatchObject({ code: 'badMessage' });
  });
});

/** Which ends in a minute. */
function tokenNamed(name: string): string {
  return forgeToken({ alg: 'none' }, { exp: secondsFromNow(60) }, name);
}
