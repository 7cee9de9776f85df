import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { createClient } from 'redis';
import { RedisBus, type RedisBusOptions } from '../../src/bus/redis.bus.js';
import type { Interest } from '../../src/fan-out/interest.js';
import { PushConfigurationError } from '../../src/push.errors.js';
import { RedisConnection } from '../../src/redis/redis.connection.js';
import { BusNode, key } from '../support/bus.node.js';
import { DEADLINE_MS, turn, until } from '../support/deadline.js';
import { seeded } from '../support/random.js';
import { RedisProxy } from '../support/redis.proxy.js';
import { describeWithRedis, RedisServer } from '../support/redis.server.js';

const RIGHTS = ['+publish', '+subscribe', '+psubscribe', '+unsubscribe', '+punsubscribe'];
const PROBE = /^\{p\}:raw:probe:/;
/** How soon a dead connection has to be found, and how long a test waits for Redis' return. */
const FOUND_WITHIN_MS = 10_000;

const faultChanged = (node: BusNode<RedisBus>, isAtFault: boolean, deadlineMs = FOUND_WITHIN_MS) =>
  until(() => (node.bus.fault !== undefined) === isAtFault, isAtFault ? 'a fault' : 'no fault', deadlineMs);

/** All that a node says of its fault, in order. */
function faultsOf(node: BusNode<RedisBus>): (string | undefined)[] {
  const faults: (string | undefined)[] = [];
  node.bus.onFaultChanged(() => faults.push(node.bus.fault));
  return faults;
}

describeWithRedis('RedisBus', () => {
  const ends: (() => unknown)[] = [];
  let server: RedisServer;
  let redis: ReturnType<typeof createClient>;

  const changeRights = (...rights: string[]) => redis.sendCommand(['ACL', 'SETUSER', 'limited', ...rights]);
  let errors: string[];

  beforeEach(async () => {
    errors = [];
    server = await RedisServer.start();
    ends.push(() => server.stop());
    redis = createClient({ url: server.url });
    redis.on('error', () => {});
    ends.push(() => redis.destroy());
    await redis.connect();
  });
  afterEach(async () => {
    for (const end of ends.splice(0).toReversed()) await end();
  });

  async function start(options: RedisBusOptions = {}, url = server.url): Promise<BusNode<RedisBus>> {
    const connection = await RedisConnection.open({ url, prefix: 'p' });
    ends.push(() => connection.close());
    const bus = await RedisBus.open(connection, { onError: (message) => errors.push(message), ...options });
    ends.push(() => bus.close());
    return new BusNode(bus);
  }

  /** What Redis knows that somebody is subscribed to, besides probes. */
  async function subscribed(): Promise<{ channels: string[]; patternCount: number }> {
    const channels = (await redis.pubSubChannels()).filter((name) => !PROBE.test(name));
    return {
      channels: channels.map((name) => name.replace('{p}:raw:', '')).toSorted(),
      patternCount: await redis.pubSubNumPat(),
    };
  }

  /** What is subscribed to once that is this, or at the end of the time: nobody is told when something was given up. */
  async function subscribedSoon(channels: string[], patternCount: number): Promise<unknown> {
    const expected = JSON.stringify({ channels, patternCount });
    const endMs = performance.now() + DEADLINE_MS;
    let last = await subscribed();
    while (JSON.stringify(last) !== expected && performance.now() < endMs) last = await subscribed();
    return last;
  }

  /** The commands that Redis is given meanwhile, with their first argument. */
  async function commandsDuring(action: () => Promise<void>): Promise<string[]> {
    const monitor = createClient({ url: server.url });
    ends.push(() => monitor.destroy());
    await monitor.connect();
    const lines: string[] = [];
    await monitor.monitor((line) => lines.push(String(line)));
    await action();
    await redis.echo('the end');
    await until(() => lines.some((line) => line.includes('"the end"')), 'the end is monitored');
    return lines
      .map((line) => /\] "(\w+)" "([^"]*)"/.exec(line) ?? [])
      .map(([, command = '', first = '']) => `${command.toLowerCase()} ${first.replace('{p}:raw:', '')}`)
      .filter((line) => /^p?(un)?subscribe|^publish/.test(line) && !line.includes('probe:'));
  }

  /** A user with these rights besides those that every connection needs. */
  async function urlOfUser(...rights: string[]): Promise<string> {
    await redis.sendCommand(['ACL', 'SETUSER', 'limited', 'reset', 'on', '>pw', '+ping', ...rights]);
    return server.url.replace('//', '//limited:pw@');
  }

  describe('what it is subscribed to', () => {
    test('is what is wanted, while it is wanted', async () => {
      const node = await start();
      const other = await start();
      expect(await subscribed()).toEqual({ channels: [], patternCount: 0 });
      const user: Interest = { kind: 'user', userName: 'ann' };
      await node.want(key('dev', '1'), key('dev', '1'), user, { kind: 'everybody' });
      await other.want(key('dev', '1'));
      expect(await subscribed()).toEqual({ channels: ['everybody', 'key:dev:1', 'user:ann'], patternCount: 0 });
      expect(await redis.pubSubNumSub(['{p}:raw:key:dev:1', '{p}:raw:user:ann'])).toEqual({
        '{p}:raw:key:dev:1': 2,
        '{p}:raw:user:ann': 1,
      });
      for (const interest of [key('dev', '1'), user]) node.bus.giveUp(interest);
      expect(await subscribedSoon(['everybody', 'key:dev:1'], 0)).toEqual({
        channels: ['everybody', 'key:dev:1'],
        patternCount: 0,
      });
      node.bus.giveUp(key('dev', '1'));
      other.bus.giveUp(key('dev', '1'));
      expect(await subscribedSoon(['everybody'], 0)).toEqual({ channels: ['everybody'], patternCount: 0 });
    });

    test('is the pattern of a whole type and none of its addresses, and those again afterwards', async () => {
      const node = await start();
      await node.want(key('dev', '1'), key('dev', '2'), key('host', '1'));
      await node.want(key('dev', '*'), key('dev', '3'));
      expect(await subscribedSoon(['key:host:1'], 1)).toEqual({ channels: ['key:host:1'], patternCount: 1 });
      node.bus.giveUp(key('dev', '2'));
      node.bus.giveUp(key('dev', '*'));
      await node.bus.whenWanted();
      expect(await subscribedSoon(['key:dev:1', 'key:dev:3', 'key:host:1'], 0)).toEqual({
        channels: ['key:dev:1', 'key:dev:3', 'key:host:1'],
        patternCount: 0,
      });
    });

    test('is right however fast it changes', async () => {
      const node = await start();
      const { bus } = node;
      for (let n = 0; n < 5; n++) {
        bus.want(key('dev', '1'));
        bus.giveUp(key('dev', '1'));
        bus.want(key('dev', '1'));
        await turn();
        bus.giveUp(key('dev', '1'));
        bus.want(key('dev', '*'));
        await turn();
        bus.giveUp(key('dev', '*'));
      }
      bus.want(key('dev', '1'));
      await bus.whenWanted();
      expect(await subscribedSoon(['key:dev:1'], 0)).toEqual({ channels: ['key:dev:1'], patternCount: 0 });
    });

    test('is one command for all that one tick brings', async () => {
      const node = await start();
      const ids = Array.from({ length: 500 }, (_, n) => `${n}`);
      const commands = await commandsDuring(async () => {
        await node.want(...ids.map((id) => key('dev', id)), key('a', '*'), key('b', '*'));
        for (const id of ids) node.bus.giveUp(key('dev', id));
        node.bus.giveUp(key('a', '*'));
        expect(await subscribedSoon([], 1)).toEqual({ channels: [], patternCount: 1 });
      });
      const names = commands.map((line) => line.split(' ')[0]);
      expect(names.toSorted()).toEqual(['psubscribe', 'punsubscribe', 'subscribe', 'unsubscribe']);
    });

    test('reaches no node that does not want it', async () => {
      const node = await start();
      await start();
      await node.want(key('dev', '1'));
      expect(await redis.publish('{p}:raw:key:dev:1', 'x')).toBe(1);
      expect(await redis.publish('{p}:raw:key:dev:2', 'x')).toBe(0);
      await node.want(key('dev', '*'));
      expect(await subscribedSoon([], 1)).toEqual({ channels: [], patternCount: 1 });
      expect(await redis.publish('{p}:raw:key:dev:2', 'x')).toBe(1);
      expect(await redis.publish('{p}:raw:key:dev%2A:2', 'x')).toBe(0);
      expect(await redis.publish('{p}:raw:user:ann', 'x')).toBe(0);
    });

    test(
      'loses and doubles nothing while addresses and their type come and go',
      seeded(async (random) => {
        const sender = await start();
        const receiver = await start();
        const exact = key('dev', '1');
        const wide = key('dev', '*');
        const held = { exact: true, wide: false };
        await receiver.want(exact);
        let sent = 0;
        for (let step = 0; step < 300; step++) {
          sender.send('dev', '1', sent++);
          if (random.chance(0.3)) {
            // One of both is always wanted, so everything has to arrive.
            const name =
              held.exact && held.wide ? random.pick(['exact', 'wide'] as const) : held.exact ? 'wide' : 'exact';
            const interest = name === 'exact' ? exact : wide;
            if (held[name]) receiver.bus.giveUp(interest);
            else receiver.bus.want(interest);
            held[name] = !held[name];
          }
          if (random.chance(0.5)) await turn();
          if (random.chance(0.1)) await receiver.bus.whenWanted();
        }
        expect(await receiver.valuesUpToNow(sender)).toEqual(Array.from({ length: sent }, (_, value) => value));
      }),
    );
  });

  describe('what it sends', () => {
    test('is one message for all that one tick brings for one channel', async () => {
      const node = await start();
      const commands = await commandsDuring(async () => {
        for (let value = 0; value < 20; value++) {
          node.send('dev', '1', value);
          node.send('dev', '2', value);
        }
        node.send('dev', undefined, 'everybody');
        node.send('dev', '1', 'for ann', { to: { userName: 'ann' } });
        await until(() => node.bus.counts.sent === 42, 'all is sent');
      });
      expect(commands).toEqual(['publish key:dev:1', 'publish key:dev:2', 'publish everybody', 'publish user:ann']);
    });

    test('is bounded while Redis is silent, and then the newest of each series', async () => {
      const sender = await start({ maxInFlightBytes: 50_000, maxWaitingBytes: 500_000 });
      const receiver = await start();
      await receiver.want(key('dev', '*'));
      server.signal('SIGSTOP');
      let mostBytes = 0;
      for (let value = 0; value < 20_000; value++) {
        sender.send('dev', `${value % 10}`, { value, padding: 'x'.repeat(500) }, { series: `${value % 100}` });
        mostBytes = Math.max(mostBytes, sender.bus.pendingBytes);
        if (value % 100 === 0) await turn();
      }
      // Whatever is in flight may be over its budget by one message.
      expect(mostBytes).toBeLessThan(900_000);
      expect(sender.bus.counts.conflated).toBeGreaterThan(10_000);
      server.signal('SIGCONT');
      const newest = () => new Set(receiver.values.map((value) => (value as { value: number }).value));
      const isFresh = () => {
        const values = newest();
        return Array.from({ length: 100 }, (_, n) => 19_900 + n).every((value) => values.has(value));
      };
      await until(isFresh, 'the newest value of each series', FOUND_WITHIN_MS);
      // What Redis passes on may be here ahead of what it answers the sender.
      await until(() => sender.bus.pendingBytes === 0, 'Redis has answered');
      expect(sender.bus.counts.dropped).toBe(0);
    });

    test('goes where even the newest are too many, oldest first, and is counted', async () => {
      const sender = await start({ maxInFlightBytes: 20_000, maxWaitingBytes: 100_000 });
      server.signal('SIGSTOP');
      for (let value = 0; value < 1000; value++) {
        sender.send('dev', '1', 'x'.repeat(500), { series: `${value}` });
        if (value % 10 === 0) await turn();
      }
      expect(sender.bus.pendingBytes).toBeLessThan(150_000);
      expect(sender.bus.counts.dropped).toBeGreaterThan(500);
      server.signal('SIGCONT');
      await until(() => sender.bus.pendingBytes === 0, 'Redis has taken the rest', FOUND_WITHIN_MS);
      const { sent, dropped, conflated } = sender.bus.counts;
      expect(sent + dropped + conflated).toBe(1000);
    });

    test('is counted and told of once where Redis refuses it', async () => {
      const node = await start({}, await urlOfUser(...RIGHTS, '&*'));
      await redis.sendCommand(['ACL', 'SETUSER', 'limited', '-publish']);
      for (let value = 1; value <= 3; value++) {
        node.send('dev', '1', value);
        await until(() => node.bus.counts.dropped === value, 'it is counted');
      }
      expect(errors).toEqual([expect.stringContaining('Redis refuses them: NOPERM')]);
    });
  });

  describe('what it receives', () => {
    test('of no release is counted and told once, and harms nothing', async () => {
      const sender = await start();
      const receiver = await start();
      await receiver.want(key('dev', '1'));
      for (const text of ['', '1', '1node {}', 'x', '2node', `1node ${JSON.stringify({ sequence: 1 })}\n{}`]) {
        await redis.publish('{p}:raw:key:dev:1', text);
      }
      sender.send('dev', '1', 'fine');
      expect(await receiver.valuesUpToNow(sender)).toEqual(['fine']);
      expect(receiver.bus.counts).toMatchObject({ malformedMessages: 4, unknownVersionMessages: 2 });
      expect(errors.toSorted()).toEqual([
        expect.stringContaining('a node of a newer release'),
        expect.stringContaining('no message of a node'),
      ]);
    });

    test('of its own is passed over', async () => {
      const node = await start();
      const other = await start();
      await node.want(key('dev', '1'));
      node.send('dev', '1', 'own');
      other.send('dev', '1', 'other’s');
      expect(await node.valuesUpToNow(other)).toEqual(['other’s']);
    });
  });

  describe('loss and return', () => {
    test('Redis dies and comes back: a fault, and then all that is wanted arrives again', async () => {
      const sender = await start();
      const receiver = await start();
      await receiver.want(key('dev', '*'), { kind: 'everybody' });
      const faults = faultsOf(receiver);
      for (let round = 1; round <= 3; round++) {
        await server.kill();
        await faultChanged(receiver, true);
        expect(receiver.bus.fault).toContain('Redis is not reached');
        expect(receiver.bus.whenWanted()).toBeUndefined();
        receiver.bus.want(key('host', `${round}`));
        sender.send('dev', '1', `sent meanwhile, ${round}`);
        await server.restart();
        await faultChanged(receiver, false);
        await faultChanged(sender, false);
        sender.send('host', `${round}`, round);
        await until(() => receiver.values.includes(round), `what is sent after the return ${round}`);
      }
      expect(faults.map((fault) => fault !== undefined)).toEqual([true, false, true, false, true, false]);
      await redis.connect().catch(() => {});
      expect(await subscribedSoon(['everybody', 'key:host:1', 'key:host:2', 'key:host:3'], 1)).toEqual({
        channels: ['everybody', 'key:host:1', 'key:host:2', 'key:host:3'],
        patternCount: 1,
      });
    }, 60_000);

    test('CLIENT KILL of what subscribes: a short fault, and nothing is forgotten', async () => {
      const sender = await start();
      const receiver = await start();
      await receiver.want(key('dev', '1'), key('host', '*'));
      const faults = faultsOf(receiver);
      for (let round = 1; round <= 5; round++) {
        await redis.sendCommand(['CLIENT', 'KILL', 'TYPE', 'pubsub']);
        await until(() => faults.length === 2 * round, 'the fault has come and gone', FOUND_WITHIN_MS);
        await faultChanged(sender, false);
        sender.send(round % 2 === 0 ? 'dev' : 'host', '1', round);
        await until(() => receiver.values.includes(round), `what is sent after the return ${round}`);
      }
      expect(await subscribedSoon(['key:dev:1'], 1)).toEqual({ channels: ['key:dev:1'], patternCount: 1 });
    }, 60_000);

    test('Redis is alive and silent: a fault within 10 s, and none when it goes on', async () => {
      const sender = await start();
      const receiver = await start();
      await receiver.want(key('dev', '1'));
      server.signal('SIGSTOP');
      await faultChanged(receiver, true);
      for (let value = 0; value < 100; value++) sender.send('dev', '1', value);
      server.signal('SIGCONT');
      await faultChanged(receiver, false, 30_000);
      await faultChanged(sender, false, 30_000);
      sender.send('dev', '1', 100);
      const values = (await receiver.valuesUpToNow(sender)).map(Number);
      // Where Redis worked off what it had been sent before the receiver was back, that is lost.
      expect(values.at(-1)).toBe(100);
      expect(values).toEqual([...new Set(values)].toSorted((one, other) => one - other));
    }, 60_000);

    test('a connection that looks alive and is dead is found within 10 s, and replaced', async () => {
      const proxy = await RedisProxy.start(server.port);
      ends.push(() => proxy.stop());
      const sender = await start();
      const receiver = await start({}, proxy.url);
      await receiver.want(key('dev', '1'));
      expect(proxy.silence('push-gateway-raw-data')).toBe(1);
      sender.send('dev', '1', 'lost');
      receiver.bus.want(key('dev', '2'));
      await receiver.bus.whenWanted();
      await faultChanged(receiver, true);
      expect(receiver.bus.fault).toContain('does not pass on');
      await faultChanged(receiver, false);
      sender.send('dev', '1', 'one');
      sender.send('dev', '2', 'two');
      expect(await receiver.valuesUpToNow(sender)).toEqual(['one', 'two']);
    }, 60_000);

    test('a node that reads too slowly for Redis is cut off, is told so, and hears again', async () => {
      await redis.configSet('client-output-buffer-limit', 'pubsub 256kb 0 0');
      const proxy = await RedisProxy.start(server.port);
      ends.push(() => proxy.stop());
      const sender = await start();
      const receiver = await start({}, proxy.url);
      await receiver.want(key('dev', '1'));
      const faults = faultsOf(receiver);
      expect(proxy.silence('push-gateway-raw-data')).toBe(1);
      const isCut = async () => !(await redis.pubSubChannels()).includes('{p}:raw:key:dev:1');
      for (let n = 0; n < 1000 && !(await isCut()); n++) sender.send('dev', '1', 'x'.repeat(100_000));
      expect(await isCut()).toBe(true);
      proxy.release('push-gateway-raw-data');
      await until(() => faults.length === 2, 'the fault has come and gone', FOUND_WITHIN_MS);
      sender.send('dev', '1', 'fresh');
      await until(() => receiver.values.at(-1) === 'fresh', 'what is sent afterwards');
    }, 60_000);

    test('no more rights are needed than are documented', async () => {
      const node = await start({}, await urlOfUser(...RIGHTS, '&*'));
      await node.want(key('dev', '1'), key('host', '*'));
      node.bus.giveUp(key('dev', '1'));
      expect(await subscribedSoon([], 1)).toEqual({ channels: [], patternCount: 1 });
      expect(node.bus.fault).toBeUndefined();
    });

    test.each([
      ['no channels', []],
      // Redis compares a pattern with what is allowed letter by letter.
      ['no patterns', ['&{p}:*']],
    ])('a user who may subscribe to %s is refused at the start', async (_, channels) => {
      const url = await urlOfUser(...RIGHTS, 'resetchannels', ...channels);
      const connection = await RedisConnection.open({ url, prefix: 'p' });
      ends.push(() => connection.close());
      const opening = RedisBus.open(connection, { openDeadlineMs: 1000 });
      await expect(opening).rejects.toThrow(PushConfigurationError);
      await expect(opening).rejects.toThrow(/Redis refuses to let this node subscribe \(NOPERM/);
    });

    test('a right that is taken away and given back', async () => {
      const node = await start({}, await urlOfUser(...RIGHTS, '&*'));
      await node.want(key('dev', '1'));
      await subscribedSoon(['key:dev:1'], 0);
      await changeRights('resetchannels', '&{p}:raw:probe:*', '&{p}:raw:key:*');
      node.bus.want({ kind: 'user', userName: 'ann' });
      await faultChanged(node, true);
      expect(node.bus.fault).toContain('NOPERM');
      await changeRights('&*');
      await faultChanged(node, false);
      expect((await subscribed()).channels).toEqual(['key:dev:1', 'user:ann']);
      expect(errors).toEqual([expect.stringContaining('NOPERM')]);
    }, 30_000);
  });
});
