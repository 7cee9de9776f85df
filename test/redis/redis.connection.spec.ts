import { once } from 'node:events';
import { type AddressInfo, createServer, type Socket } from 'node:net';
import { afterEach, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import { PushConfigurationError } from '../../src/push.errors.js';
import { RedisConnection } from '../../src/redis/redis.connection.js';
import { RedisScript } from '../../src/redis/redis.script.js';
import { turn, until, untilAsync, within } from '../support/deadline.js';
import { describeWithRedis, RedisServer } from '../support/redis.server.js';

describe('RedisConnection', () => {
  test('says where Redis was not reached, without the password', async () => {
    const opening = RedisConnection.open({ url: 'redis://ann:secret@127.0.0.1:1', prefix: 'p', openDeadlineMs: 200 });
    const error = await opening.then(
      () => undefined,
      (cause: unknown) => cause,
    );
    expect(error).toBeInstanceOf(PushConfigurationError);
    expect(String(error)).toContain('Redis at 127.0.0.1:1 was not reached in time');
    expect(String(error)).toContain('ECONNREFUSED');
    expect(String(error)).not.toContain('secret');
  });
});

describeWithRedis('RedisConnection with Redis', () => {
  let server: RedisServer;
  let connection: RedisConnection;
  let errors: string[];

  beforeAll(async () => (server = await RedisServer.start()));
  beforeEach(async () => {
    errors = [];
    connection = await RedisConnection.open({ url: server.url, prefix: 'p', onError: (text) => errors.push(text) });
  });
  afterEach(() => connection.close());

  const next = (event: 'onUp' | 'onDown') =>
    within(
      new Promise<void>((resolve) => {
        const stop = connection.commands[event](() => {
          stop();
          resolve();
        });
      }),
      event,
      15_000,
    );

  test('runs commands, under names of its own prefix', async () => {
    expect(connection.key('alarms', 'head')).toBe('{p}:alarms:head');
    await connection.commands.client.set(connection.key('a'), '1');
    expect(await connection.commands.client.get('{p}:a')).toBe('1');
  });

  test("makes all clients of one class: to make node-redis' takes as long as some thousand data", async () => {
    const link = connection.link('other', { pings: false, forgets: true });
    const { client } = link;
    expect(client.constructor).toBe(connection.commands.client.constructor);
    link.restart();
    expect(link.client).not.toBe(client);
    expect(link.client.constructor).toBe(client.constructor);
    const names = await connection.commands.client.clientList();
    expect(names.map(({ name }) => name)).toContain('push-gateway-commands');
  });

  test('runs a script, also when Redis has forgotten it', async () => {
    const script = new RedisScript("return {KEYS[1], ARGV[1] .. '!'}");
    expect(await connection.run(script, ['k'], ['a'])).toEqual(['k', 'a!']);
    await connection.commands.client.scriptFlush();
    expect(await connection.run(script, ['k'], ['b'])).toEqual(['k', 'b!']);
  });

  test('tells when Redis has gone and is back, reports it once, and queues nothing meanwhile', async () => {
    const down = next('onDown');
    await server.kill();
    await down;
    await expect(connection.commands.client.ping()).rejects.toThrow(/offline|closed/i);
    const up = next('onUp');
    await server.restart();
    await up;
    expect(await connection.commands.client.ping()).toBe('PONG');
    expect(errors.length).toBe(1);
  });

  test('finds a Redis that is alive and silent within 10 s', async () => {
    const down = next('onDown');
    server.signal('SIGSTOP');
    const startedAtMs = performance.now();
    await down;
    expect(performance.now() - startedAtMs).toBeLessThan(10_000);
    const up = next('onUp');
    server.signal('SIGCONT');
    await up;
    expect(await connection.commands.client.ping()).toBe('PONG');
  });

  test('gives up a primary that becomes a replica, and with it all links, and is back when there is a primary', async () => {
    const link = connection.link('other', { pings: false });
    await until(() => link.isUp, 'up');
    const { client } = link;
    const down = next('onDown');
    await server.command('REPLICAOF', '127.0.0.1', '1');
    await down;
    const opening = RedisConnection.open({ url: server.url, prefix: 'p', openDeadlineMs: 1500 });
    await expect(opening).rejects.toThrow('was not reached in time: it is a replica');
    expect(connection.commands.state).toBe('down');
    expect(errors).toEqual([expect.stringContaining('the connection for commands: it is a replica')]);
    await link.leaveReplica();
    expect(link.client).not.toBe(client);
    await server.promote();
    await until(() => connection.commands.isUp && link.isUp, 'both are up');
    await connection.commands.client.set('a', '1');
  });

  const subscriberNames = async () => {
    const clients = await connection.commands.client.sendCommand(['CLIENT', 'LIST']);
    return [...String(clients).matchAll(/name=push-gateway-(\S+)/g)].map(([, name]) => name).toSorted();
  };

  test('begins afresh after a loss, where it is to forget what was subscribed', async () => {
    const link = connection.link('afresh', { pings: false, forgets: true });
    await within(new Promise<void>((resolve) => link.onUp(resolve)), 'up');
    const { client } = link;
    await client.subscribe('a', () => {});
    const up = within(new Promise<void>((resolve) => link.onUp(resolve)), 'up again');
    await connection.commands.client.sendCommand(['CLIENT', 'KILL', 'TYPE', 'pubsub']);
    await up;
    expect(link.client).not.toBe(client);
    expect(await connection.commands.client.pubSubChannels('*')).toEqual([]);
    expect(await subscriberNames()).toEqual(['afresh', 'commands']);
  });

  test('leaves no connection behind that was given up while it connected', async () => {
    const link = connection.link('restless', { pings: false });
    for (let turns = 0; turns < 20; turns++) {
      for (let i = 0; i < turns; i++) await turn();
      link.restart();
    }
    await within(new Promise<void>((resolve) => link.onUp(resolve)), 'up');
    let names: (string | undefined)[] = [];
    await untilAsync(async () => (names = await subscriberNames()).length === 2, 'only the last is left');
    expect(names).toEqual(['commands', 'restless']);
  });

  test('begins afresh where a connection was taken and nobody answers', async () => {
    const sockets: Socket[] = [];
    const silent = createServer((socket) => sockets.push(socket)).listen(0, '127.0.0.1');
    try {
      await once(silent, 'listening');
      const { port } = silent.address() as AddressInfo;
      const opening = RedisConnection.open({ url: `redis://127.0.0.1:${port}`, prefix: 'p', openDeadlineMs: 7000 });
      opening.catch(() => {});
      await until(() => sockets.length === 2, 'a second connection', 7000);
      await expect(opening).rejects.toThrow('not reached in time');
    } finally {
      for (const socket of sockets) socket.destroy();
      silent.close();
    }
  });
});
