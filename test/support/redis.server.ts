import { spawnSync } from 'node:child_process';
import { afterAll, describe } from '@jest/globals';
import { RedisServer } from './redis.process.js';

export { RedisServer, type RedisServerOptions } from './redis.process.js';

/** Whether the machine has redis-server; in CI it has to. */
function hasRedis(): boolean {
  const found = spawnSync('redis-server', ['--version']).status === 0;
  if (!found && process.env['CI'] === 'true') throw new Error('redis-server is missing: CI may not skip what needs it');
  return found;
}

/** A suite that needs Redis: skipped with one loud line where the machine has none, and never in CI. */
export function describeWithRedis(name: string, suite: () => void): void {
  const isThere = hasRedis();
  if (!isThere) process.stderr.write(`\nSKIPPED, since there is no redis-server on this machine: ${name}\n\n`);
  (isThere ? describe : describe.skip)(name, suite);
  afterAll(() => RedisServer.killAll());
}
