import { afterEach, beforeAll } from '@jest/globals';
import { InProcessBus } from '../../src/bus/in-process.bus.js';
import { RedisBus } from '../../src/bus/redis.bus.js';
import { RedisConnection } from '../../src/redis/redis.connection.js';
import { describeWithRedis, RedisServer } from '../support/redis.server.js';
import { describeRawDataBus, describeRawDataBusOfNodes } from './raw-data-bus.contract.js';

describeRawDataBus('InProcessBus', async () => new InProcessBus());

describeWithRedis('RedisBus', () => {
  const connections: RedisConnection[] = [];
  let server: RedisServer;

  beforeAll(async () => (server = await RedisServer.start()));
  afterEach(() => {
    for (const connection of connections.splice(0)) connection.close();
  });

  const open = async () => {
    const connection = await RedisConnection.open({ url: server.url, prefix: 'p' });
    connections.push(connection);
    return RedisBus.open(connection);
  };

  describeRawDataBus('RedisBus', open);
  describeRawDataBusOfNodes('RedisBus', open);
});
