import { beforeEach, describe, expect, test } from '@jest/globals';
import { RedisProbe } from '../../src/bus/redis.probe.js';
import { turn } from '../support/deadline.js';

let published: string[];
let happened: string[];
let receivers: number | Error;
let probe: RedisProbe;

beforeEach(() => {
  published = [];
  happened = [];
  receivers = 1;
  probe = new RedisProbe({
    publish: async (text) => {
      published.push(text);
      if (typeof receivers === 'number') return receivers;
      throw receivers;
    },
    onReturned: () => happened.push('returned'),
    onLost: () => happened.push('lost'),
  });
  probe.begin();
});

const last = () => published.at(-1) ?? '';

describe('the probe', () => {
  test('is lost at the second beat that nothing came back for', () => {
    probe.receive(last());
    probe.beat();
    probe.beat();
    expect(happened).toEqual(['returned']);
    probe.beat();
    expect(happened).toEqual(['returned', 'lost']);
  });

  test('a late answer counts, however late it is', () => {
    for (let n = 0; n < 10; n++) {
      probe.beat();
      probe.receive(last());
    }
    expect(happened).toEqual(Array.from({ length: 10 }, () => 'returned'));
  });

  test('passes over what it did not send, or has seen', () => {
    for (const text of ['', 'x', '-1', '99', '1.5', last(), last()]) probe.receive(text);
    expect(happened).toEqual(['returned']);
  });

  test('what an earlier connection sent does not count on a new one', () => {
    const earlier = last();
    probe.begin();
    probe.receive(earlier);
    expect(happened).toEqual([]);
    probe.receive(last());
    expect(happened).toEqual(['returned']);
  });

  test('is lost at once where nobody is subscribed to it', async () => {
    receivers = 0;
    probe.beat();
    await turn();
    expect(happened).toEqual(['lost']);
  });

  test('what is not published is missed', async () => {
    probe.receive(last());
    receivers = new Error('offline');
    probe.beat();
    await turn();
    probe.beat();
    expect(happened).toEqual(['returned']);
    probe.beat();
    expect(happened).toEqual(['returned', 'lost']);
  });
});
