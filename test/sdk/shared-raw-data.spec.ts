import { afterEach, beforeEach, describe, expect, jest, test } from '@jest/globals';
import type { SubscriptionRequest } from '../../src/protocol/messages.js';
import { type PushClientError, type SharedRawData, sharedRawData } from '../../src/sdk/index.js';
import { dataOf, FakeNetwork } from './fake.socket.js';

const ADDRESS = { base: 'https://push.test', businessType: 'meter', businessId: '7', userName: 'ann' };
const PATH = { businessType: 'meter', businessId: '7' };
const A = { businessType: 'meter', businessId: 'a' };
const ANY = { businessType: 'meter', businessId: '*' };

let network: FakeNetwork;
let hub: SharedRawData;
let errors: PushClientError[];
let heard: string[];

beforeEach(() => {
  jest.useFakeTimers();
  network = new FakeNetwork();
  errors = [];
  heard = [];
});

afterEach(() => {
  hub.close();
  jest.useRealTimers();
});

const settle = () => jest.advanceTimersByTimeAsync(0);
const hears = (name: string) => (datum: unknown) =>
  void heard.push(`${name} ${String((datum as { value: unknown }).value)}`);
const push = (businessId: string | undefined, value: number) =>
  network.last.receive('rawData', { businessType: 'meter', businessId, value });

function share(): void {
  hub = sharedRawData({ ...ADDRESS, WebSocket: network.WebSocket });
  hub.connection.on('error', (error) => errors.push(error));
}

async function open(): Promise<void> {
  await settle();
  network.last.greet();
  await settle();
}

/** What was asked for since the last time; everything is given. */
async function asked(refuse: string[] = []): Promise<[string, ...SubscriptionRequest[]][]> {
  await settle();
  const sent = network.last.sent();
  for (const each of sent) {
    const keys = each.data['keys'] as SubscriptionRequest[];
    const refused = keys.filter(({ businessId }) => refuse.includes(businessId));
    const given = keys.filter((key) => !refused.includes(key));
    const ref = each.ref ?? 0;
    if (each.event === 'unsubscribe') network.last.receive('unsubscribed', { keys: given }, { ref });
    else {
      const reasons = refused.map((key) => ({ ...key, reason: 'forbidden' as const }));
      network.last.receive('subscribed', { keys: given, refused: reasons }, { ref });
    }
  }
  await settle();
  return sent.map((each) => [each.event, ...dataOf(each, each.event as 'subscribe').keys]);
}

describe('watching', () => {
  test('begins with what is watched: the key of the path is given up where nobody watches it', async () => {
    share();
    hub.watch(A, hears('a'));
    await open();
    expect(await asked()).toEqual([
      ['unsubscribe', PATH],
      ['subscribe', A],
    ]);
  });

  test('the key of the path needs no asking', async () => {
    share();
    hub.watch(PATH, hears('path'));
    await open();
    expect(await asked()).toEqual([]);
    push('7', 1);
    expect(heard).toEqual(['path 1']);
  });

  test('one subscription serves all who watch a key, until the last one leaves', async () => {
    share();
    hub.watch(PATH, hears('path'));
    await open();
    const offs = [hub.watch(A, hears('one')), hub.watch(A, hears('two'))];
    expect(await asked()).toEqual([['subscribe', A]]);
    push('a', 1);
    offs[0]?.();
    offs[0]?.();
    expect(await asked()).toEqual([]);
    push('a', 2);
    offs[1]?.();
    expect(await asked()).toEqual([['unsubscribe', A]]);
    push('a', 3);
    expect(heard).toEqual(['one 1', 'two 1', 'two 2']);
  });

  test('what a page mounts and unmounts in one go is one message', async () => {
    share();
    hub.watch(PATH, hears('path'));
    await open();
    const off = hub.watch(A, hears('gone'));
    off();
    hub.watch(A, hears('stays'));
    for (const businessId of ['b', 'c']) hub.watch({ businessType: 'meter', businessId }, hears(businessId));
    const messages = await asked();
    expect(messages.map(([event, ...keys]) => [event, ...keys.map(({ businessId }) => businessId)])).toEqual([
      ['subscribe', 'a', 'b', 'c'],
    ]);
    hub.watch(A, hears('again'))();
    expect(await asked()).toEqual([]);
  });

  test('data go to who watches their key, all of a type, or something of it where they are for everybody', async () => {
    share();
    await open();
    hub.watch(A, hears('a'));
    hub.watch(ANY, hears('any'));
    hub.watch({ businessType: 'pump', businessId: 'a' }, hears('pump'));
    push('a', 1);
    push('b', 2);
    push(undefined, 3);
    push('', 4);
    expect(heard).toEqual(['a 1', 'any 1', 'any 2', 'a 3', 'any 3', 'a 4', 'any 4']);
  });

  test('the fastest counts, and who joins with the last values has them sent', async () => {
    share();
    hub.watch(PATH, hears('path'));
    await open();
    hub.watch({ ...A, maxFrequencyHz: 1 }, hears('slow'));
    expect(await asked()).toEqual([['subscribe', { ...A, maxFrequencyHz: 1 }]]);
    const off = hub.watch({ ...A, maxFrequencyHz: 5, history: 10 }, hears('fast'));
    expect(await asked()).toEqual([['subscribe', { ...A, maxFrequencyHz: 5, history: 10 }]]);
    hub.watch({ ...A, maxFrequencyHz: 2, snapshot: true }, hears('late'));
    expect(await asked()).toEqual([['subscribe', { ...A, maxFrequencyHz: 5, snapshot: true, history: 10 }]]);
    off();
    expect(await asked()).toEqual([['subscribe', { ...A, maxFrequencyHz: 2, snapshot: true }]]);
    hub.watch(A, hears('all'));
    expect(await asked()).toEqual([['subscribe', { ...A, snapshot: true }]]);
  });

  test('a listener that throws does not keep the others from theirs', async () => {
    share();
    await open();
    hub.watch(A, () => {
      throw new Error('broken');
    });
    hub.watch(A, hears('a'));
    push('a', 1);
    expect(heard).toEqual(['a 1']);
    expect(errors).toMatchObject([{ fault: 'listener' }]);
  });

  test('promises of listeners hold marks back', async () => {
    share();
    await open();
    await asked();
    let finish: (() => void) | undefined;
    hub.watch(A, () => new Promise<void>((resolve) => (finish = resolve)));
    await asked();
    network.last.receive('mark', { n: 1 });
    push('a', 1);
    network.last.receive('mark', { n: 2 });
    expect(network.last.sent()).toMatchObject([{ data: { n: 1 } }]);
    finish?.();
    await settle();
    expect(network.last.sent()).toMatchObject([{ data: { n: 2 } }]);
  });

  test('a refused key is told, and asked for again by the next who watches it', async () => {
    share();
    hub.watch(PATH, hears('path'));
    await open();
    const refused: unknown[] = [];
    hub.connection.on('refused', (keys) => refused.push(...keys));
    const off = hub.watch(A, hears('a'));
    expect(await asked(['a'])).toHaveLength(1);
    expect(refused).toEqual([{ ...A, reason: 'forbidden' }]);
    hub.watch(A, hears('a'));
    expect(await asked()).toEqual([['subscribe', A]]);
    off();
    expect(await asked()).toEqual([]);
  });

  test('a malformed key harms no other of its message, and is told', async () => {
    share();
    hub.watch(PATH, hears('path'));
    await open();
    const bad = { businessType: 'meter', businessId: '' };
    hub.watch(bad, hears('bad'));
    hub.watch(A, hears('a'));
    await settle();
    const refuse = (ref = 0) =>
      network.last.receive('exception', { code: 'badMessage', message: 'too short' }, { ref });
    refuse(network.last.sent()[0]?.ref);
    await settle();
    const [first, second] = network.last.sent();
    expect([first?.data, second?.data]).toEqual([{ keys: [bad] }, { keys: [A] }]);
    refuse(first?.ref);
    await settle();
    expect(errors).toMatchObject([{ fault: 'request', message: 'too short' }]);
  });

  test('after close nothing is asked for, and nothing complains', async () => {
    share();
    await open();
    hub.watch(A, hears('a'));
    hub.close();
    hub.watch(ANY, hears('any'))();
    await settle();
    expect(errors).toEqual([]);
  });
});
