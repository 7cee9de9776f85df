import { afterAll, beforeAll } from '@jest/globals';
import { MemoryTickets } from '../../src/access/memory.tickets.js';
import { TICKET_LIFE_MS, type Tickets } from '../../src/access/tickets.js';
import { RedisConnection } from '../../src/redis/redis.connection.js';
import { RedisTickets } from '../../src/redis/redis.tickets.js';
import { untilAsync } from '../support/deadline.js';
import { describeWithRedis, RedisServer } from '../support/redis.server.js';
import { describeTickets } from './tickets.contract.js';

let nowMs = 0;
let inMemory: Tickets | undefined;

describeTickets('MemoryTickets', {
  open: async () => (inMemory ??= new MemoryTickets(() => nowMs)),
  expire: async () => {
    nowMs += TICKET_LIFE_MS;
  },
  cleanUp: async () => {
    inMemory = undefined;
  },
});

describeWithRedis('with Redis', () => {
  let server: RedisServer;
  let connections: RedisConnection[] = [];

  beforeAll(async () => (server = await RedisServer.start()));
  afterAll(() => server.stop());

  describeTickets('RedisTickets', {
    open: async () => {
      const connection = await RedisConnection.open({ url: server.url, prefix: 'p' });
      connections.push(connection);
      return new RedisTickets(connection, { lifeMs: 2000 });
    },
    expire: (isExpired) => untilAsync(isExpired, 'it has expired'),
    cleanUp: async () => {
      for (const connection of connections) connection.close();
      connections = [];
    },
  });
});
