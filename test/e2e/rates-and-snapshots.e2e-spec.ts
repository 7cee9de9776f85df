import { afterEach, describe, expect, test } from '@jest/globals';
import type { DeliveryMode } from '../../src/fan-out/conflating.backlog.js';
import type { SubscriptionRequest } from '../../src/protocol/messages.js';
import { gatewayOn, type TestGateway } from '../support/gateway.fixture.js';
import type { PushClient } from '../support/push.client.js';

const DELIVERY_MODES: readonly DeliveryMode[] = ['conflate', 'merge', 'disconnect'];
const WIRES = ['plain', 'push.v1'] as const;
type Wire = (typeof WIRES)[number];

/** So slow that within a test no second value is due. */
const RARELY_HZ = 0.01;

interface Value {
  readonly businessId: string;
  readonly series: string;
  readonly n: number;
  /** When it was pushed. */
  readonly atMs: number;
}

const key = (businessId: string, asked: Partial<SubscriptionRequest> = {}) => ({
  businessType: 'dev',
  businessId,
  ...asked,
});

/** Pushes one value of (dev, businessId). */
function push(gateway: TestGateway, series: string, n: number, businessId = '1', filling = ''): void {
  gateway.push.pushRawData({ businessType: 'dev', businessId, series, n, atMs: performance.now(), filling });
}

function connect(gateway: TestGateway, wire: Wire, query = '', businessId = '1'): Promise<PushClient> {
  const path = `/ws/rowdata/dev/${businessId}/ann${query}`;
  return wire === 'plain' ? gateway.connect(path) : gateway.connectPushV1(path);
}

/** The datum in a message of either wire. */
function valueIn(text: string): Value {
  const message = JSON.parse(text) as Value & { event?: string; data?: Value };
  const value = message.event === undefined ? message : message.data;
  if (value === undefined || (message.event ?? 'rawData') !== 'rawData') throw new Error(`not a datum: ${text}`);
  return value;
}

const named = ({ series, n }: Value) => `${series}${n}`;

/** Everything that the client was sent until now, as `a1 b2`. */
async function heard(gateway: TestGateway, client: PushClient): Promise<string> {
  const { texts } = await gateway.heardBy({ texts: client });
  return texts.map((text) => named(valueIn(text))).join(' ');
}

async function nextValue(client: PushClient): Promise<string> {
  return named(valueIn(await client.next()));
}

/** Values up to this one, which ends them. */
async function valuesUpTo(client: PushClient, last: string): Promise<Value[]> {
  const values: Value[] = [];
  for (;;) {
    const value = valueIn(await client.next());
    values.push(value);
    if (named(value) === last) return values;
  }
}

async function subscribe(client: PushClient, ...keys: SubscriptionRequest[]): Promise<void> {
  expect(await client.ask('subscribe', { keys }, 's')).toEqual({
    event: 'subscribed',
    ref: 's',
    data: { keys, refused: [] },
  });
}

/** Subscribes where values may come ahead of the answer; they have to be these, or none. Returns them. */
async function subscribeBehind(
  client: PushClient,
  values: readonly string[],
  ...keys: SubscriptionRequest[]
): Promise<string[]> {
  client.send(JSON.stringify({ event: 'subscribe', data: { keys } }));
  const before: string[] = [];
  for (;;) {
    const text = await client.next();
    if (text.startsWith('{"event":"subscribed"')) return before;
    before.push(named(valueIn(text)));
    expect(values).toEqual(before.concat(values.slice(before.length)));
  }
}

const sources = new Set<Source>();

afterEach(() => {
  for (const source of sources) source.stop();
  sources.clear();
});

/** Pushes a value of (dev, 1) and each series every few milliseconds, until it falls silent. */
class Source {
  n = 0;
  private readonly timer: NodeJS.Timeout;

  constructor(
    gateway: TestGateway,
    private readonly series: readonly string[] = ['a'],
    intervalMs = 2,
  ) {
    sources.add(this);
    this.timer = setInterval(() => {
      this.n += 1;
      for (const each of series) push(gateway, each, this.n);
    }, intervalMs);
  }

  /** Returns the number of the last value. */
  stop(): number {
    clearInterval(this.timer);
    return this.n;
  }

  /** Falls silent when the client has got so many values; what it got by the time that it has the last ones. */
  async observedBy(client: PushClient, count: number): Promise<Value[]> {
    const values: Value[] = [];
    while (values.length < count) values.push(valueIn(await client.next()));
    const last = this.stop();
    while (values.filter(({ n }) => n === last).length < this.series.length) values.push(valueIn(await client.next()));
    return values;
  }
}

/**
 * By how many values a series was faster than its rate; 0 or less where it was held. Of two values that are let through,
 * the later one was pushed after the one before it had passed: so the times of the pushes, which are exact however late
 * a value arrives, tell the rate to within two values.
 */
function valuesOverRate(values: readonly Value[], hz: number): number {
  const [first, last] = [values[0], values.at(-1)];
  if (first === undefined || last === undefined) throw new Error('nothing arrived');
  return values.length - 3 - ((last.atMs - first.atMs) / 1000) * hz;
}

describe('maxFrequencyHz', () => {
  test.each(WIRES)('in the query, on %s: held for each series, and the final value arrives', async (wire) => {
    const gateway = await gatewayOn('express').start();
    const client = await connect(gateway, wire, '?maxFrequencyHz=20');
    const source = new Source(gateway, ['a', 'b']);
    const values = await source.observedBy(client, 16);
    for (const series of ['a', 'b']) {
      const ofSeries = values.filter((value) => value.series === series);
      const numbers = ofSeries.map(({ n }) => n);
      expect(numbers).toEqual([...new Set(numbers)].toSorted((one, other) => one - other));
      expect(valuesOverRate(ofSeries, 20)).toBeLessThanOrEqual(0);
    }
    expect(await heard(gateway, client)).toBe('');
  });

  test('in subscribe: for its key, while the others get every value', async () => {
    const gateway = await gatewayOn('express').start();
    const client = await connect(gateway, 'push.v1', '', '2');
    const witness = await connect(gateway, 'push.v1');
    await subscribe(client, key('1', { maxFrequencyHz: 20 }));
    const source = new Source(gateway);
    const values = await source.observedBy(client, 8);
    expect(valuesOverRate(values, 20)).toBeLessThanOrEqual(0);
    for (const n of [1, 2, 3]) push(gateway, 'own', n, '2');
    expect(await heard(gateway, client)).toBe('own1 own2 own3');
    const last = source.stop();
    expect((await valuesUpTo(witness, `a${last}`)).map(({ n }) => n)).toEqual(
      Array.from({ length: last }, (_, i) => i + 1),
    );
  });

  test('the first value comes at once, and what follows waits', async () => {
    const gateway = await gatewayOn('express').start();
    const client = await connect(gateway, 'plain', `?maxFrequencyHz=${RARELY_HZ}`);
    for (const n of [1, 2, 3]) for (const series of ['a', 'b']) push(gateway, series, n);
    expect(await heard(gateway, client)).toBe('a1 b1');
  });

  test('what is pushed to everybody, to the user or to the connection is not held back', async () => {
    const gateway = await gatewayOn('express').start();
    const client = await connect(gateway, 'push.v1', `?maxFrequencyHz=${RARELY_HZ}`);
    for (const n of [1, 2]) push(gateway, 'a', n);
    const datum = { ...key('1'), series: 'a' };
    gateway.push.pushRawData({ businessType: 'dev', series: 'all', n: 1 });
    gateway.push.pushRawData({ businessType: 'dev', series: 'all', n: 2 });
    gateway.push.pushRawData({ ...datum, n: 3 }, { to: { userName: 'ann' } });
    gateway.push.pushRawData({ ...datum, n: 4 }, { to: { clientId: client.clientId } });
    expect(await heard(gateway, client)).toBe('a1 all1 all2 a3 a4');
  });

  test('of overlapping subscriptions the fastest counts', async () => {
    const gateway = await gatewayOn('express').start();
    const client = await connect(gateway, 'push.v1', `?maxFrequencyHz=${RARELY_HZ}`);
    await subscribe(client, key('*'));
    for (const n of [1, 2, 3]) push(gateway, 'a', n);
    expect(await heard(gateway, client)).toBe('a1 a2 a3');
    await client.ask('unsubscribe', { keys: [key('*')] });
    for (const n of [4, 5]) push(gateway, 'a', n);
    expect(await heard(gateway, client)).toBe('a4');
  });

  test('subscribing again without it: what waited comes ahead of the answer, and then every value', async () => {
    const gateway = await gatewayOn('express').start();
    const client = await connect(gateway, 'push.v1', `?maxFrequencyHz=${RARELY_HZ}`);
    for (const n of [1, 2]) push(gateway, 'a', n);
    expect(await heard(gateway, client)).toBe('a1');
    expect(await subscribeBehind(client, ['a2'], key('1'))).toEqual(['a2']);
    for (const n of [3, 4, 5]) push(gateway, 'a', n);
    expect(await heard(gateway, client)).toBe('a3 a4 a5');
  });

  test('subscribing again with a higher one: counts from the last value that came', async () => {
    const gateway = await gatewayOn('express').start();
    const client = await connect(gateway, 'push.v1', `?maxFrequencyHz=${RARELY_HZ}`);
    const pushedAtMs = performance.now();
    for (const n of [1, 2]) push(gateway, 'a', n);
    expect(await heard(gateway, client)).toBe('a1');
    // Where that was long enough ago, ahead of the answer.
    const [ahead] = await subscribeBehind(client, ['a2'], key('1', { maxFrequencyHz: 5 }));
    expect(ahead ?? (await nextValue(client))).toBe('a2');
    expect(performance.now() - pushedAtMs).toBeGreaterThanOrEqual(200);
  });

  test('subscribing again with a lower one: held from then on', async () => {
    const gateway = await gatewayOn('express').start();
    const client = await connect(gateway, 'push.v1');
    for (const n of [1, 2]) push(gateway, 'a', n);
    expect(await heard(gateway, client)).toBe('a1 a2');
    await subscribe(client, key('1', { maxFrequencyHz: RARELY_HZ }));
    for (const n of [3, 4]) push(gateway, 'a', n);
    expect(await heard(gateway, client)).toBe('a3');
    expect(gateway.rawData.subscriptions(client.clientId)).toEqual([key('1', { maxFrequencyHz: RARELY_HZ })]);
  });

  test('what waits of a key goes with the subscription', async () => {
    const gateway = await gatewayOn('express').start();
    const client = await connect(gateway, 'push.v1', `?maxFrequencyHz=${RARELY_HZ}`);
    for (const n of [1, 2]) push(gateway, 'a', n);
    expect(await nextValue(client)).toBe('a1');
    expect(await client.ask('unsubscribe', { keys: [key('1')] })).toMatchObject({ event: 'unsubscribed' });
    // Had it still waited, it would come ahead of the answer.
    await subscribe(client, key('1'));
    push(gateway, 'a', 3);
    expect(await heard(gateway, client)).toBe('a3');
  });
});

describe('a snapshot', () => {
  test.each(WIRES)('in the query, on %s: the last value of each series, then live', async (wire) => {
    const gateway = await gatewayOn('express').start();
    for (const n of [1, 2]) for (const series of ['a', 'b']) push(gateway, series, n);
    push(gateway, 'other', 1, '10');
    const client = await connect(gateway, wire, '?snapshot=true');
    push(gateway, 'a', 3);
    expect(await heard(gateway, client)).toBe('a2 b2 a3');
    expect(await heard(gateway, await connect(gateway, wire, '?snapshot=false'))).toBe('');
  });

  test.each(WIRES)('history in the query, on %s: of each series the oldest first, then live', async (wire) => {
    const gateway = await gatewayOn('express').withOptions({ history: 4 }).start();
    for (const n of [1, 2, 3, 4, 5]) for (const series of ['a', 'b']) push(gateway, series, n);
    const client = await connect(gateway, wire, '?history=3');
    push(gateway, 'a', 6);
    expect(await heard(gateway, client)).toBe('a3 a4 a5 b3 b4 b5 a6');
    expect(await heard(gateway, await connect(gateway, wire, '?history=0'))).toBe('');
    expect(await heard(gateway, await connect(gateway, wire, '?history=0&snapshot=true'))).toBe('a6 b5');
    expect(await heard(gateway, await connect(gateway, wire, '?history=1000&snapshot=false'))).toBe(
      'a3 a4 a5 a6 b2 b3 b4 b5',
    );
  });

  test('in subscribe: behind the answer, before what is pushed next', async () => {
    const gateway = await gatewayOn('express').withOptions({ history: 3 }).start();
    for (const businessId of ['2', '3', '4'])
      for (const n of [1, 2, 3, 4]) push(gateway, `${businessId}:`, n, businessId);
    const client = await connect(gateway, 'push.v1');
    await subscribe(client, key('2', { snapshot: true }), key('3', { history: 2 }), key('4'));
    push(gateway, '3:', 5, '3');
    push(gateway, '4:', 5, '4');
    expect(await heard(gateway, client)).toBe('2:4 3:3 3:4 3:5 4:5');
  });

  test('comes anew with each subscribe that asks for one', async () => {
    const gateway = await gatewayOn('express').withOptions({ history: 3 }).start();
    for (const n of [1, 2, 3]) push(gateway, 'a', n);
    const client = await connect(gateway, 'push.v1', '?snapshot=true');
    await subscribeBehind(client, ['a3'], key('1', { history: 2 }));
    expect(await heard(gateway, client)).toBe('a2 a3');
    await subscribe(client, key('1'));
    expect(await heard(gateway, client)).toBe('');
  });

  test('of a whole type', async () => {
    const gateway = await gatewayOn('express').withOptions({ history: 2 }).start();
    for (const businessId of ['1', '10', '2']) for (const n of [1, 2]) push(gateway, `${businessId}:`, n, businessId);
    gateway.push.pushRawData({ businessType: 'device', businessId: '1', series: 'other', n: 1 });
    const client = await gateway.connectPushV1('/ws/rowdata/meter/1/ann');
    await subscribe(client, key('*', { snapshot: true }));
    expect((await heard(gateway, client)).split(' ').toSorted()).toEqual(['10:2', '1:2', '2:2']);
    await subscribe(client, key('*', { history: 2 }));
    const values = (await heard(gateway, client)).split(' ');
    expect(values.toSorted()).toEqual(['10:1', '10:2', '1:1', '1:2', '2:1', '2:2']);
    for (const id of ['1', '10', '2']) expect(values.indexOf(`${id}:1`)).toBeLessThan(values.indexOf(`${id}:2`));
  });

  test('holds only what was pushed to its own address, without to', async () => {
    const gateway = await gatewayOn('express').start();
    push(gateway, 'a', 1);
    gateway.push.pushRawData({ businessType: 'dev', series: 'a', n: 2 });
    gateway.push.pushRawData({ ...key('1'), series: 'a', n: 3 }, { to: { userName: 'ann' } });
    gateway.push.pushRawData({ ...key('2'), series: 'a', n: 4 }, { to: key('1') });
    expect(await heard(gateway, await connect(gateway, 'push.v1', '?snapshot=true'))).toBe('a1');
  });

  test('none is kept where history is 0', async () => {
    const gateway = await gatewayOn('express').withOptions({ history: 0 }).start();
    push(gateway, 'a', 1);
    const client = await connect(gateway, 'push.v1', '?snapshot=true&history=5');
    push(gateway, 'a', 2);
    expect(await heard(gateway, client)).toBe('a2');
  });

  test('passes the delivery filter', async () => {
    const gateway = await gatewayOn('express')
      .withOptions({ history: 4, deliveryFilter: (_client, { n }) => n !== 2 && n !== 4 })
      .start();
    for (const n of [1, 2, 3, 4]) push(gateway, 'a', n);
    expect(await heard(gateway, await connect(gateway, 'plain', '?history=4'))).toBe('a1 a3');
  });

  test('is not held back by a rate, nor does it begin its interval', async () => {
    const gateway = await gatewayOn('express').withOptions({ history: 3 }).start();
    for (const n of [1, 2, 3]) push(gateway, 'a', n);
    const client = await connect(gateway, 'plain', `?history=3&maxFrequencyHz=${RARELY_HZ}`);
    for (const n of [4, 5]) push(gateway, 'a', n);
    expect(await heard(gateway, client)).toBe('a1 a2 a3 a4');
  });

  test('takes the place of what a rate holds back', async () => {
    const gateway = await gatewayOn('express').start();
    const client = await connect(gateway, 'push.v1', '?maxFrequencyHz=50');
    for (const n of [1, 2]) push(gateway, 'a', n);
    expect(await nextValue(client)).toBe('a1');
    const before = await subscribeBehind(client, ['a2'], key('1', { maxFrequencyHz: 50, snapshot: true }));
    expect(before.length).toBeLessThanOrEqual(1);
    for (const n of [1, 2]) push(gateway, 'end', n);
    expect((await valuesUpTo(client, 'end2')).map(named)).toEqual(['a2', 'end1', 'end2']);
  });

  test.each(WIRES)('while values are pushed, on %s: neither gap nor duplicate nor disorder', async (wire) => {
    const gateway = await gatewayOn('express').withOptions({ history: 5 }).start();
    const source = new Source(gateway, ['a', 'b'], 1);
    for (let round = 0; round < 20; round++) {
      const client = await connect(gateway, wire, '?history=5');
      const numbers: Record<string, number[]> = { a: [], b: [] };
      for (let left = 20; left > 0; left--) {
        const { series, n } = valueIn(await client.next());
        numbers[series]?.push(n);
      }
      for (const [first = 0, ...more] of Object.values(numbers))
        expect(more).toEqual(more.map((_, i) => first + 1 + i));
      await client.cut();
    }
    expect(source.stop()).toBeGreaterThan(20);
  });

  test('of more than half of an outbox leaves out the oldest of the history, and never the newest', async () => {
    const gateway = await gatewayOn('express')
      .withOptions({ history: 10, maxOutboxBytes: 8192, inFlightBytes: 8192 })
      .start();
    const filling = 'x'.repeat(900);
    for (const n of [1, 2, 3, 4, 5, 6]) push(gateway, 'a', n, '1', filling);
    expect(await heard(gateway, await connect(gateway, 'plain', '?history=10'))).toBe('a3 a4 a5 a6');
    for (const series of ['b', 'c', 'd']) push(gateway, series, 1, '1', filling);
    expect(await heard(gateway, await connect(gateway, 'push.v1', '?history=10'))).toBe('a6 b1 c1 d1');
  });

  test('is refused as tooLarge where the newest values do not fit half of an outbox, and the rest is subscribed', async () => {
    const gateway = await gatewayOn('express').withOptions({ maxOutboxBytes: 4096, inFlightBytes: 2048 }).start();
    const filling = 'x'.repeat(900);
    for (const series of ['a', 'b', 'c']) push(gateway, series, 1, '1', filling);
    push(gateway, 'd', 1, '2');
    const client = await connect(gateway, 'push.v1', '', '9');
    for (const asked of [{ snapshot: true }, { history: 1 }]) {
      const keys = [key('1', asked), key('*', asked), key('2', asked)];
      expect(await client.ask('subscribe', { keys })).toEqual({
        event: 'subscribed',
        data: {
          keys: [key('2', asked)],
          refused: [
            { ...key('1'), reason: 'tooLarge' },
            { ...key('*'), reason: 'tooLarge' },
          ],
        },
      });
      expect(await heard(gateway, client)).toBe('d1');
    }
    expect(gateway.rawData.subscriptions(client.clientId)).toEqual([key('9'), key('2')]);
    await subscribe(client, key('1'));
    push(gateway, 'a', 2);
    expect(await heard(gateway, client)).toBe('a2');
  });
});

describe.each(DELIVERY_MODES)("with delivery '%s'", (delivery) => {
  test.each(WIRES)('on %s: history whole and in order, then live', async (wire) => {
    const gateway = await gatewayOn('express').withOptions({ delivery, history: 3 }).start();
    for (const n of [1, 2, 3]) for (const series of ['a', 'b']) push(gateway, series, n);
    const client = await connect(gateway, wire, '?history=3');
    expect(await heard(gateway, client)).toBe('a1 a2 a3 b1 b2 b3');
    for (const n of [4, 5, 6]) for (const series of ['a', 'b']) push(gateway, series, n);
    expect(await heard(gateway, client)).toBe(delivery === 'merge' ? 'a6 b6' : 'a4 b4 a5 b5 a6 b6');
    for (const n of [7, 8]) push(gateway, 'b', n);
    expect(await heard(gateway, client)).toBe(delivery === 'merge' ? 'b8' : 'b7 b8');
  });

  test.each(WIRES)('on %s: rate held, and the final value arrives', async (wire) => {
    const gateway = await gatewayOn('express').withOptions({ delivery }).start();
    const client = await connect(gateway, wire, '?maxFrequencyHz=20');
    const values = await new Source(gateway).observedBy(client, 6);
    expect(valuesOverRate(values, 20)).toBeLessThanOrEqual(0);
  });

  test('subscribed to anew in one turn with pushes: old values, answers and snapshot in their places', async () => {
    const gateway = await gatewayOn('express').withOptions({ delivery, history: 2, flushIntervalMs: 50 }).start();
    const client = await connect(gateway, 'push.v1');
    gateway.rawData.messages$.subscribe(({ event }) => {
      if (event === 'push 1 and 2') for (const n of [1, 2]) push(gateway, 'a', n);
      if (event === 'push 3') push(gateway, 'a', 3);
      if (event === 'push 4') push(gateway, 'a', 4);
    });
    const send = (event: string, data: object = {}) => client.send(JSON.stringify({ event, data }));
    send('push 1 and 2');
    send('unsubscribe', { keys: [key('1')] });
    send('push 3');
    send('subscribe', { keys: [key('1', { history: 2 })] });
    send('push 4');
    const seen: string[] = [];
    while (seen.at(-1) !== 'a4') {
      const text = await client.next();
      seen.push(
        text.startsWith('{"event":"rawData"') ? named(valueIn(text)) : (JSON.parse(text) as { event: string }).event,
      );
    }
    const all = ['a1', 'a2', 'unsubscribed', 'subscribed', 'a2', 'a3', 'a4'];
    const merged = ['a2', 'unsubscribed', 'subscribed', 'a2', 'a4'];
    // The last push may come in a flush of its own.
    const expected = delivery === 'merge' ? [merged, merged.toSpliced(4, 0, 'a3')] : [all];
    expect(expected).toContainEqual(seen);
  });
});
