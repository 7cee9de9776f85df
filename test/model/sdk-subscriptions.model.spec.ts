import { afterEach, beforeEach, describe, expect, jest, test } from '@jest/globals';
import type { KeyAddress, RefusedKey, SubscriptionRequest } from '../../src/protocol/messages.js';
import { connectRawData, type RawDataConnection } from '../../src/sdk/index.js';
import { FakeNetwork, type FakeSocket, type Sent } from '../sdk/fake.socket.js';
import { type Random, seeded } from '../support/random.js';

const RUNS = 40;
const STEPS = 80;
/** So long that a message holds some twenty. */
const IDS = ['*', ...Array.from({ length: 40 }, (_, n) => `${n}`.padEnd(110, '-'))];
const PATH = { businessType: 'meter', businessId: IDS[1] ?? '' };
const FORBIDDEN = new Set(IDS.slice(-5));

/** The other end, by the rules of docs/PROTOCOL.md: it answers in order, and each connection begins with its path's key. */
class Server {
  private readonly unanswered: Sent[] = [];
  readonly keys = new Map<string, SubscriptionRequest>([[PATH.businessId, PATH]]);

  constructor(readonly socket: FakeSocket) {}

  /** Reads what was sent and answers so many. */
  answer(count: number): void {
    this.unanswered.push(...this.socket.sent());
    for (const sent of this.unanswered.splice(0, count)) this.answerOne(sent);
    this.unanswered.push(...this.socket.sent());
  }

  /** Until nothing more is asked; gives what the client is subscribed to. */
  answerAll(): ReadonlyMap<string, SubscriptionRequest> {
    do this.answer(10);
    while (this.unanswered.length > 0);
    return this.keys;
  }

  private answerOne({ event, ref = 0, data }: Sent): void {
    const keys = data['keys'] as SubscriptionRequest[];
    if (event === 'unsubscribe') {
      const held = keys.filter(({ businessId }) => this.keys.delete(businessId));
      this.socket.receive('unsubscribed', { keys: held.map(addressOf) }, { ref });
      return;
    }
    const given = keys.filter((key) => !isRefused(key));
    for (const key of given) this.keys.set(key.businessId, key);
    const refused = keys.filter(isRefused).map((key): RefusedKey => ({ ...addressOf(key), reason: 'forbidden' }));
    this.socket.receive('subscribed', { keys: given, refused }, { ref });
  }
}

function isRefused({ businessId }: KeyAddress): boolean {
  return FORBIDDEN.has(businessId);
}

function addressOf({ businessType, businessId }: KeyAddress): KeyAddress {
  return { businessType, businessId };
}

describe('subscribing, unsubscribing and drops in any order', () => {
  let connection: RawDataConnection;

  beforeEach(() => {
    jest.useFakeTimers();
  });

  afterEach(() => {
    connection.close();
    jest.useRealTimers();
  });

  test('the server ends with what was asked for last, and everything is answered', async () => {
    await seeded(async (random) => {
      for (let run = 0; run < RUNS; run++) await runOnce(random);
    })();
    expect(jest.getTimerCount()).toBe(0);
  });

  async function runOnce(random: Random): Promise<void> {
    const network = new FakeNetwork();
    connection = connectRawData({
      base: 'https://push.test',
      ...PATH,
      userName: 'ann',
      WebSocket: network.WebSocket,
      retryBaseMs: 1,
      retryCapMs: 1,
    });
    await jest.advanceTimersByTimeAsync(0);
    const wanted = new Map<string, SubscriptionRequest>([[PATH.businessId, PATH]]);
    const answered: Promise<unknown>[] = [];
    let server: Server | undefined;

    const pickKeys = () => {
      const ids = [
        ...new Set(Array.from({ length: 1 + random.below(random.chance(0.3) ? 80 : 3) }, () => random.pick(IDS))),
      ];
      return ids.map((businessId) => ({ businessType: 'meter', businessId }));
    };
    const connect = async () => {
      await jest.advanceTimersByTimeAsync(10);
      server = new Server(network.last);
      network.last.greet({ heartbeatMs: 0 });
    };
    const actions = {
      subscribe: () => {
        const keys = pickKeys().map((key) => ({ ...key, maxFrequencyHz: 1 + random.below(5) }));
        for (const key of keys) if (!FORBIDDEN.has(key.businessId)) wanted.set(key.businessId, key);
        answered.push(connection.subscribe(keys));
      },
      unsubscribe: () => {
        const keys = pickKeys();
        for (const { businessId } of keys) wanted.delete(businessId);
        answered.push(connection.unsubscribe(keys));
      },
      answer: () => server?.answer(1 + random.below(3)),
      drop: () => {
        if (server === undefined) return;
        server = undefined;
        network.last.end(1012);
      },
      connect: async () => {
        if (server === undefined) await connect();
      },
    };
    for (let step = 0; step < STEPS; step++) {
      const action = random.weighted({ subscribe: 3, unsubscribe: 3, answer: 4, drop: 1, connect: 2 });
      await actions[action]();
    }
    if (server === undefined) await connect();
    const ended = (server as Server | undefined)?.answerAll();
    expect([...(ended ?? [])].toSorted(byName)).toEqual([...wanted].toSorted(byName));
    await Promise.all(answered);
    connection.close();
  }
});

function byName([one]: [string, unknown], [other]: [string, unknown]): number {
  return one.localeCompare(other);
}
