import { afterEach, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import { PushConfigurationError } from '../../src/push.errors.js';
import { RedisConnection } from '../../src/redis/redis.connection.js';
import { RedisScript } from '../../src/redis/redis.script.js';
import { within } from '../support/deadline.js';
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
});
