import { readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import { decodeEnvelopes, encodeEnvelopes, type NumberedEnvelope } from '../../src/bus/envelope.encoding.js';
import type { StoredSeries } from '../../src/bus/last-value.store.js';
import { conflationKey, seriesOfConflationKey } from '../../src/fan-out/key.js';
import { decodeRecord, recordHead } from '../../src/redis/last-value.record.js';
import { RedisConnection } from '../../src/redis/redis.connection.js';
import { MAX_STORED_VALUE_BYTES, RedisLastValueWriter } from '../../src/redis/redis.last-value.writer.js';
import { RedisLastValues } from '../../src/redis/redis.last-values.js';
import { type Random, seeded } from '../support/random.js';
import { describeWithRedis, RedisServer } from '../support/redis.server.js';

const operations = readFileSync(join(dirname(fileURLToPath(import.meta.url)), '../../docs/OPERATIONS.md'), 'utf8');
const DAY_MS = 24 * 60 * 60 * 1000;

describe('a record', () => {
  test('gives back what was written', () => {
    const origin = { nodeId: 'aZ_-09', sequence: 2 ** 53 - 1 };
    const json = '{"a":"x y {} \\u0000 \u{1F600}"}';
    expect(decodeRecord(`${recordHead(origin.nodeId)}${origin.sequence} ${json}`, 'k')).toEqual({
      json,
      conflationKey: 'k',
      origin,
    });
  });

  test.each(['', '1', '2a 1 {}', '1a {}', '1a x {}', '1 1 {}', '1a 1 []', '1a 1.5 {}', '1a 1 {', 'OK'])(
    '%j is none',
    (record) => {
      expect(decodeRecord(record, 'k')).toBeUndefined();
    },
  );
});

function shown({ address, values }: StoredSeries): string {
  const texts = values.map(({ json }) => (JSON.parse(json) as { v: string }).v);
  const series = seriesOfConflationKey(values[0]?.conflationKey ?? '');
  return `${address.businessType}/${address.businessId} ${series}: ${texts.join(' ')}`;
}

describeWithRedis('last values in Redis', () => {
  let server: RedisServer;
  let connections: RedisConnection[];
  let prefixCount = 0;
  let errors: string[];
  let nowMs: number;

  beforeAll(async () => (server = await RedisServer.start()));
  beforeEach(() => {
    connections = [];
    errors = [];
    nowMs = Date.now();
    prefixCount += 1;
  });
  afterEach(() => connections.forEach((connection) => connection.close()));

  /** One node: what it publishes, and what it reads. */
  class Node {
    readonly writer: RedisLastValueWriter;
    readonly store: RedisLastValues;
    sequence = 0;

    constructor(
      readonly connection: RedisConnection,
      history: number,
    ) {
      this.writer = new RedisLastValueWriter({
        connection,
        history,
        onError: (message) => errors.push(message),
        now: () => nowMs,
      });
      const place = { subscribing: connection.commands.client, whenSent: () => undefined };
      this.store = new RedisLastValues({ connection, history, place });
    }

    datum(name: string, businessId = '1', businessType = 'dev'): NumberedEnvelope {
      const [series = '', value = ''] = name.split(' ');
      const key = conflationKey(businessType, businessId, series);
      const address = { businessType, businessId, to: undefined, except: undefined };
      const envelope = { datumJson: `{"v":"${value}"}`, conflationKey: key, ...address };
      return { sequence: (this.sequence += 1), envelope };
    }

    /** As one tick: `a 1` is value 1 of series a. */
    push(names: readonly string[], businessId = '1', businessType = 'dev'): Promise<void> {
      return this.publish(names.map((name) => this.datum(name, businessId, businessType)));
    }

    publish(data: readonly NumberedEnvelope[]): Promise<void> {
      return this.writer.publish(`channel of ${prefixCount}`, encodeEnvelopes(this.connection.nodeId, data), data);
    }

    /** Each series as `dev/1 a: 1 2`, sorted. */
    async read(businessId: string, businessType = 'dev'): Promise<string[]> {
      const pages = await this.pages(businessId, businessType);
      return pages.flat().map(shown).toSorted();
    }

    async pages(businessId: string, businessType = 'dev'): Promise<(readonly StoredSeries[])[]> {
      const pages: (readonly StoredSeries[])[] = [];
      for await (const page of this.store.read({ businessType, businessId })) pages.push(page);
      return pages;
    }

    command(...words: string[]): Promise<unknown> {
      return this.connection.commands.client.sendCommand(words);
    }
  }

  async function node(history = 1, url = server.url): Promise<Node> {
    const connection = await RedisConnection.open({ url, prefix: `values${prefixCount}` });
    connections.push(connection);
    return new Node(connection, history);
  }

  /** How often Redis ran a command, by those who asked and by scripts. */
  async function callsOf(command: string): Promise<number> {
    const info = await server.command('INFO', 'commandstats');
    return Number(new RegExp(`cmdstat_${command}:calls=(\\d+)`).exec(info)?.[1] ?? 0);
  }

  describe('what is read', () => {
    test('are the newest values of each series, of whichever node, with their origin', async () => {
      const [one, other, reader] = [await node(), await node(), await node()];
      await one.push(['a 1', 'b 1', 'a 2']);
      await other.push(['b 2', ' 3']);
      expect(await reader.read('1')).toEqual(['dev/1 : 3', 'dev/1 a: 2', 'dev/1 b: 2']);
      const values = (await reader.pages('1')).flat().flatMap((series) => series.values);
      expect(values.map(({ origin }) => `${origin.nodeId} ${origin.sequence}`).toSorted()).toEqual(
        [`${one.connection.nodeId} 3`, `${other.connection.nodeId} 1`, `${other.connection.nodeId} 2`].toSorted(),
      );
    });

    test('of an address that nobody pushed to is nothing', async () => {
      const reader = await node(3);
      await reader.push(['a 1'], '10');
      expect([await reader.read('1'), await reader.read('*', 'de'), await reader.read('%2A')]).toEqual([[], [], []]);
    });

    test('of a whole type are the values of all its ids', async () => {
      const reader = await node();
      const ids = Array.from({ length: 300 }, (_, n) => `id ${n}`);
      for (const id of ids) await reader.push(['a 1'], id);
      await reader.push(['a 1'], '1', 'other');
      expect(await reader.read('*')).toEqual(ids.map((id) => `dev/${id} a: 1`).toSorted());
      expect((await reader.pages('*')).length).toBeGreaterThan(4);
    });

    test('of thousands of series come page by page, none left out', async () => {
      const reader = await node();
      const names = Array.from({ length: 5000 }, (_, n) => `s${n} ${'x'.repeat(100)}`);
      await reader.push(names);
      const pages = await reader.pages('1');
      expect(pages.length).toBeGreaterThan(10);
      expect(new Set(pages.flat().map(shown)).size).toBe(5000);
      expect(new Set((await reader.pages('*')).flat().map(shown)).size).toBe(5000);
    });

    test.each(['a:b', 'ü {x} *', '%3A', 'a\nb', '__proto__'])(
      'of parts like %j are told apart from others',
      async (part) => {
        const reader = await node(2);
        const data = [reader.datum('a 1', part.replace('\n', ''), 'dev'), reader.datum('a 2', 'b', 'dev')];
        for (const each of data) await reader.publish([each]);
        const series = { ...reader.datum('x 3'), sequence: 9 };
        const key = conflationKey('dev', '1', part);
        await reader.publish([{ ...series, envelope: { ...series.envelope, conflationKey: key } }]);
        expect((await reader.pages('1')).flat().map(({ values }) => values[0]?.conflationKey)).toEqual([key]);
        expect(await reader.read('*')).toHaveLength(3);
      },
    );

    test('with history are the last values, oldest first, of all nodes in the order of Redis', async () => {
      const [one, other] = [await node(3), await node(3)];
      await one.push(['a 1', 'b 1', 'a 2']);
      await other.push(['a 3']);
      await one.push(['a 4', 'a 5', 'a 6', 'a 7']);
      await other.push(['a 8']);
      expect(await one.read('1')).toEqual(['dev/1 a: 6 7 8', 'dev/1 b: 1']);
      expect(await other.read('*')).toEqual(['dev/1 a: 6 7 8', 'dev/1 b: 1']);
    });

    test('with history on one node and without on another ends with the newest', async () => {
      const [deep, flat] = [await node(3), await node(1)];
      await deep.push(['a 1', 'a 2']);
      await flat.push(['a 3']);
      expect([await deep.read('1'), await flat.read('1')]).toEqual([['dev/1 a: 1 2 3'], ['dev/1 a: 3']]);
    });

    test('a record of another release, and what is no record, is passed over', async () => {
      const reader = await node();
      await reader.push(['a 1', 'b 1']);
      await reader.command('HSET', `{values${prefixCount}}:last:dev:1`, 'a', '2something new', 'c', 'junk');
      expect(await reader.read('1')).toEqual(['dev/1 b: 1']);
    });

    test(
      'is what a list of all pushes says',
      seeded(async (random: Random) => {
        const history = random.pick([1, 2, 4]);
        const nodes = [await node(history), await node(history), await node(history)];
        const model = new Map<string, string[]>();
        for (let tick = 0; tick < 200; tick++) {
          const id = random.pick(['1', '2', '3']);
          const names = Array.from(
            { length: 1 + random.below(5) },
            (_, n) => `${random.pick(['a', 'b', ''])} ${tick}.${n}`,
          );
          for (const name of names) {
            const [series = '', value = ''] = name.split(' ');
            const address = `dev/${id} ${series}`;
            model.set(address, [...(model.get(address) ?? []), value].slice(-history));
          }
          await random.pick(nodes).push(names, id);
        }
        const wanted = [...model].map(([address, values]) => `${address}: ${values.join(' ')}`).toSorted();
        expect(await random.pick(nodes).read('*')).toEqual(wanted);
      }),
    );
  });

  describe('what is written', () => {
    test('is one HSET a message, however much is in it, and the message is published with it', async () => {
      const [writer, listener] = [await node(), await node()];
      const heard: number[] = [];
      await listener.connection.commands.client.subscribe(`channel of ${prefixCount}`, (message) =>
        heard.push(decodeEnvelopes(message).length),
      );
      const before = { hset: await callsOf('hset'), publish: await callsOf('publish') };
      await writer.push(Array.from({ length: 500 }, (_, n) => `s${n % 100} ${n}`));
      expect(await callsOf('hset')).toBe(before.hset + 1);
      expect(await callsOf('publish')).toBe(before.publish + 1);
      await listener.command('PING');
      expect(heard).toEqual([500]);
    });

    test('is nothing for what was not pushed to its own address', async () => {
      const writer = await node(2);
      const { envelope } = writer.datum('a 1');
      const before = await callsOf('hset');
      await writer.publish([
        { sequence: 1, envelope: { ...envelope, to: { userName: 'ann' } } },
        { sequence: 2, envelope: { ...envelope, to: { businessType: 'dev', businessId: '1' } } },
        { sequence: 3, envelope: { ...envelope, businessId: undefined } },
      ]);
      expect(await callsOf('hset')).toBe(before);
      expect(await writer.command('KEYS', `*values${prefixCount}*`)).toEqual([]);
    });

    test('ends after a day without a push, with every key', async () => {
      const writer = await node(2);
      await writer.push(['a 1', 'b 1']);
      const keys = (await writer.command('KEYS', `*values${prefixCount}*`)) as string[];
      expect(keys).toHaveLength(4);
      for (const key of keys) {
        const life = Number(await writer.command('PTTL', key));
        expect(life).toBeGreaterThan(DAY_MS - 10_000);
        expect(life).toBeLessThanOrEqual(DAY_MS);
      }
    });

    test('is kept only up to a size, and then nothing older of the series either', async () => {
      const writer = await node(2);
      await writer.push(['a 1', 'b 1']);
      await writer.push([`a ${'x'.repeat(MAX_STORED_VALUE_BYTES)}`]);
      expect(await writer.read('1')).toEqual(['dev/1 b: 1']);
      await writer.push([`a ${'x'.repeat(MAX_STORED_VALUE_BYTES)}`, 'a 3']);
      expect(await writer.read('1')).toEqual(['dev/1 a: 3', 'dev/1 b: 1']);
    });

    test('holds no more history of a series than half a megabyte', async () => {
      const writer = await node(1000);
      for (let n = 0; n < 8; n++) await writer.push([`a ${n}${'x'.repeat(100_000)}`]);
      const [series] = (await writer.pages('1')).flat();
      expect(series?.values.map(({ json }) => json.slice(6, 7))).toEqual(['3', '4', '5', '6', '7']);
    });

    test('holds no more series of an address than ten thousand', async () => {
      const writer = await node();
      await writer.push(Array.from({ length: 10_500 }, (_, n) => `s${n} 1`));
      expect(await writer.command('HLEN', `{values${prefixCount}}:last:dev:1`)).toBe(10_000);
    });

    test('is removed where it cannot be written, and the message goes out all the same', async () => {
      const small = await RedisServer.start({ settings: { maxmemory: '3mb', 'maxmemory-policy': 'noeviction' } });
      const writer = await node(2, small.url);
      const listener = await node(2, small.url);
      const heard: string[] = [];
      await listener.connection.commands.client.subscribe(`channel of ${prefixCount}`, (message) =>
        heard.push(message),
      );
      await writer.push(['a 1', 'b 1']);
      await writer.command('CONFIG', 'SET', 'maxmemory', '1mb');
      await writer.push(['a 2']);
      await writer.push(['a 3']);
      await listener.command('PING');
      expect(heard).toHaveLength(3);
      expect(errors).toEqual([expect.stringContaining('last values are not kept')]);
      expect(errors[0]).toContain('OOM');
      expect(writer.writer.failedCount).toBe(2);
      await writer.command('CONFIG', 'SET', 'maxmemory', '0');
      expect(await writer.read('1')).toEqual(['dev/1 b: 1']);
      await writer.push(['a 4']);
      expect(await writer.read('1')).toEqual(['dev/1 a: 4', 'dev/1 b: 1']);
      await small.stop();
    });

    test('is found again by its type 5 s after Redis has forgotten everything', async () => {
      const writer = await node();
      await writer.push(['a 1']);
      await writer.command('FLUSHALL');
      await writer.push(['a 2']);
      expect([await writer.read('1'), await writer.read('*')]).toEqual([['dev/1 a: 2'], []]);
      nowMs += 5000;
      await writer.push(['a 3']);
      expect(await writer.read('*')).toEqual(['dev/1 a: 3']);
    });

    test('of an id that nobody pushed to for a day is not looked for any more', async () => {
      const writer = await node();
      await writer.push(['a 1'], '1');
      nowMs += DAY_MS + 1;
      await writer.push(['a 1'], '2');
      expect(await writer.read('*')).toEqual(['dev/2 a: 1']);
    });

    test('needs no more rights than the documentation names', async () => {
      const names = /\*\*Rights\*\* of Redis' user[^:]*:\*`: `(\+evalsha [^`]*)`/.exec(operations)?.[1] ?? '';
      const rights = [...names.split(/\s+/), '+publish', '+@connection'];
      await server.addUser(`{values${prefixCount}}:*`, rights);
      const writer = await node(2, server.url.replace('//', '//node:secret@'));
      await writer.push(['a 1', 'b 1', 'a 2']);
      await writer.push([`b ${'x'.repeat(MAX_STORED_VALUE_BYTES)}`]);
      expect([await writer.read('1'), await writer.read('*')]).toEqual([['dev/1 a: 1 2'], ['dev/1 a: 1 2']]);
      expect(errors).toEqual([]);
      await server.command('ACL', 'DELUSER', 'node');
    });

    test('rejects where Redis is away', async () => {
      const away = await RedisServer.start();
      const writer = await node(1, away.url);
      await away.kill();
      await expect(writer.push(['a 1'])).rejects.toThrow(/offline|closed/i);
      await away.stop();
    });
  });

  test('what is read where a node subscribes comes behind all that was published before', async () => {
    const [writer, reader] = [await node(), await node()];
    const events: string[] = [];
    await reader.connection.commands.client.subscribe(`channel of ${prefixCount}`, () => events.push('message'));
    for (let n = 1; n <= 200; n++) {
      const pushed = writer.push([`a ${n}`]);
      const pages = await reader.pages('1');
      const value = pages.flat()[0]?.values[0]?.origin.sequence ?? 0;
      expect(events.length).toBeGreaterThanOrEqual(value);
      await pushed;
    }
  });
});
