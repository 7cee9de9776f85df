import { setImmediate as nextTurn } from 'node:timers/promises';
import { beforeEach, describe, expect, test } from '@jest/globals';
import type { NumberedEnvelope } from '../../src/bus/envelope.encoding.js';
import { RedisPublisher } from '../../src/bus/redis.publisher.js';
import { conflationKey } from '../../src/fan-out/key.js';
import type { RedisLink } from '../../src/redis/redis.link.js';

/** A message on its way, as `a: 1 2`, and what Redis does with it. */
interface Message {
  readonly text: string;
  readonly answer: () => void;
  readonly refuse: (cause: Error) => void;
}

describe('what is published', () => {
  let messages: Message[];
  let publisher: RedisPublisher;
  let sequence: number;

  /** Redis answers when the test says so. */
  beforeEach(() => {
    messages = [];
    sequence = 0;
    publisher = new RedisPublisher({
      link: { isUp: true, onUp: () => () => undefined } as unknown as RedisLink,
      nodeId: 'node',
      publish: (channel, _message, data) =>
        new Promise<void>((answer, refuse) => {
          const values = data.map(({ envelope }) => (JSON.parse(envelope.datumJson) as { v: unknown }).v);
          messages.push({ text: `${channel}: ${values.join(' ')}`, answer, refuse });
        }),
      maxInFlightBytes: 4000,
      onError: () => undefined,
    });
  });

  function add(channel: string, value: number | string, series = 's'): void {
    const envelope = { datumJson: JSON.stringify({ v: value }), conflationKey: conflationKey('dev', '1', series) };
    const address = { businessType: 'dev', businessId: '1', to: undefined, except: undefined };
    const datum: NumberedEnvelope = { sequence: (sequence += 1), envelope: { ...envelope, ...address } };
    publisher.add(channel, datum);
  }

  const texts = () => messages.map(({ text }) => text);

  test('is what one tick brings, a message a channel', async () => {
    add('a', 1);
    add('b', 2);
    add('a', 3);
    expect(texts()).toEqual([]);
    await nextTurn();
    expect(texts()).toEqual(['a: 1 3', 'b: 2']);
  });

  test('is collected while Redis has not answered all of it, and then goes at once, none replaced', async () => {
    add('a', 1);
    add('b', 2);
    await nextTurn();
    for (const value of [3, 4]) {
      add('a', value);
      await nextTurn();
    }
    messages[0]?.answer();
    await nextTurn();
    expect(texts()).toEqual(['a: 1', 'b: 2']);
    messages[1]?.answer();
    await nextTurn();
    expect(texts().slice(2)).toEqual(['a: 3 4']);
    messages[2]?.answer();
    await nextTurn();
    expect(publisher).toMatchObject({ sentCount: 4, conflatedCount: 0, droppedCount: 0, pendingBytes: 0 });
  });

  test('goes on where Redis refuses a message', async () => {
    add('a', 1);
    await nextTurn();
    add('a', 2);
    messages[0]?.refuse(new Error('OOM'));
    await nextTurn();
    expect(texts()).toEqual(['a: 1', 'a: 2']);
    expect(publisher).toMatchObject({ sentCount: 0, droppedCount: 1 });
  });

  test('is the newest of each series once more waits than goes with the next answer', async () => {
    add('a', 1);
    await nextTurn();
    for (let value = 2; value <= 100; value++) add('a', String(value).padEnd(200));
    expect(publisher.conflatedCount).toBeGreaterThan(0);
    expect(publisher.pendingBytes).toBeLessThan(8000);
    messages[0]?.answer();
    await nextTurn();
    expect(texts().at(-1)).toContain('100');
  });
});
