import { createHash } from 'node:crypto';
import type { RedisClient } from './redis.link.js';

/** A Lua script, sent whole only where Redis does not know it yet. */
export class RedisScript {
  private readonly sha: string;

  constructor(readonly source: string) {
    this.sha = createHash('sha1').update(source).digest('hex');
  }

  /** So that it need not be sent whole between others that are on their way, which would overtake it. */
  async load(client: RedisClient): Promise<void> {
    await client.sendCommand(['SCRIPT', 'LOAD', this.source]);
  }

  async run(client: RedisClient, keys: readonly string[], args: readonly string[]): Promise<unknown> {
    const parameters = [String(keys.length), ...keys, ...args];
    try {
      return await client.sendCommand(['EVALSHA', this.sha, ...parameters]);
    } catch (cause) {
      // After a restart or SCRIPT FLUSH; nothing was run.
      if (!(cause instanceof Error && cause.message.startsWith('NOSCRIPT'))) throw cause;
      return client.sendCommand(['EVAL', this.source, ...parameters]);
    }
  }
}
