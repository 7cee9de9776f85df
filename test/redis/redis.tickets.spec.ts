import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from '@jest/globals';
import type { Principal } from '../../src/access/principal.js';
import { TICKET_LIFE_MS } from '../../src/access/tickets.js';
import { RedisConnection } from '../../src/redis/redis.connection.js';
import { RedisTickets } from '../../src/redis/redis.tickets.js';
import { until } from '../support/deadline.js';
import { describeWithRedis, RedisServer } from '../support/redis.server.js';

const PATH = '/ws/alarm';
const ANN: Principal = { userName: 'ann' };

describeWithRedis('RedisTickets', () => {
  let server: RedisServer;
  let connection: RedisConnection;

  beforeAll(async () => (server = await RedisServer.start()));
  afterAll(() => server.stop());
  beforeEach(async () => (connection = await RedisConnection.open({ url: server.url, prefix: 'p' })));
  afterEach(async () => {
    connection.close();
    await server.command('FLUSHALL');
  });

  test('a ticket lives 30 s, and cannot be read out of Redis', async () => {
    const ticket = (await new RedisTickets(connection).issue(ANN, PATH)) ?? '';
    const { client } = connection.commands;
    const [key = '', ...others] = await client.keys('*');
    expect(others).toEqual([]);
    const lifeMs = await client.pTTL(key);
    expect(lifeMs).toBeGreaterThan(TICKET_LIFE_MS - 5000);
    expect(lifeMs).toBeLessThanOrEqual(TICKET_LIFE_MS);
    expect(`${key} ${await client.get(key)}`).not.toContain(ticket);
  });

  test('so many of one node may be open; those that have expired make room', async () => {
    const clock = { ms: 0 };
    const tickets = new RedisTickets(connection, { maxTickets: 100, now: () => clock.ms });
    const issued = await Promise.all(Array.from({ length: 100 }, () => tickets.issue(ANN, PATH)));
    expect(issued.filter((ticket) => ticket === undefined)).toEqual([]);
    // Whether they were used is known to other nodes only.
    await tickets.redeem(issued[0] ?? '', PATH);
    expect(await tickets.issue(ANN, PATH)).toBeUndefined();
    clock.ms = TICKET_LIFE_MS;
    expect(await tickets.issue(ANN, PATH)).toMatch(/./);
  });

  test('rejects while Redis is away, and within some seconds while it stands still', async () => {
    const tickets = new RedisTickets(connection);
    const ticket = (await tickets.issue(ANN, PATH)) ?? '';
    const all = () => [tickets.issue(ANN, PATH), tickets.look(ticket, PATH), tickets.redeem(ticket, PATH)];
    server.signal('SIGSTOP');
    const startedAtMs = performance.now();
    for (const each of await Promise.allSettled(all())) expect(each.status).toBe('rejected');
    expect(performance.now() - startedAtMs).toBeLessThan(4000);
    server.signal('SIGCONT');
    await server.kill();
    await until(() => !connection.commands.isUp, 'the link is lost');
    for (const each of await Promise.allSettled(all())) expect(each.status).toBe('rejected');
    await server.restart();
  });
});
