import { beforeAll } from '@jest/globals';
import { RedisConnection } from '../../src/redis/redis.connection.js';
import { RedisServer } from './redis.server.js';

/** One Redis for a suite, and a prefix of its own for each test. */
export class RedisPrefix {
  private server: RedisServer | undefined;
  private count = 0;
  private connection: RedisConnection | undefined;

  /** Starts its Redis before the suite that this is called in. */
  static forSuite(): RedisPrefix {
    const prefix = new RedisPrefix();
    beforeAll(async () => {
      prefix.server = await RedisServer.start();
    });
    return prefix;
  }

  /** A connection to a prefix that nobody has used. */
  async begin(): Promise<RedisConnection> {
    this.count += 1;
    return this.reconnect();
  }

  /** Another connection, to the same prefix. */
  async reconnect(): Promise<RedisConnection> {
    if (this.server === undefined) throw new Error('Redis has not been started');
    this.end();
    this.connection = await RedisConnection.open({ url: this.server.url, prefix: `test${this.count}` });
    return this.connection;
  }

  end(): void {
    this.connection?.close();
    this.connection = undefined;
  }
}
