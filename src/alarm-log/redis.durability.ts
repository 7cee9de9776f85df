import { PushConfigurationError } from '../push.errors.js';
import type { RedisClient } from '../redis/redis.link.js';
import { isRefusal } from '../redis/redis.errors.js';

/** XTRIM MINID came with it. */
const OLDEST_VERSION = { major: 6, minor: 2 };

/** What Redis promises about what it has accepted, by its settings of now. */
export interface RedisDurability {
  /** How accepted alarms are lost although nothing but Redis ends, and what to change; none: they are not. */
  readonly losses: readonly string[];
  /** How they are lost when the machine ends, and what to change. */
  readonly risks: readonly string[];
}

/** Throws {@link PushConfigurationError} where Redis is too old. */
export async function readDurability(client: RedisClient): Promise<RedisDurability> {
  const facts = factsIn(String(await client.sendCommand(['INFO'])));
  checkVersion(facts.get('redis_version') ?? '');
  const losses: string[] = [];
  if (facts.get('aof_enabled') !== '1') {
    losses.push('it has no append-only file, so that alarms are lost when it ends: set "appendonly yes"');
  }
  const policy = facts.get('maxmemory_policy');
  if (policy !== 'noeviction') {
    losses.push(`it removes alarms when its memory is full (${policy}): set "maxmemory-policy noeviction"`);
  }
  const risks =
    (await fsyncOf(client)) === 'no'
      ? ['it leaves to the system when alarms are on the disk: set "appendfsync everysec" or "always"']
      : [];
  return { losses, risks };
}

/** The lines `name:value` of INFO. */
function factsIn(info: string): ReadonlyMap<string, string> {
  return new Map(
    info.split('\r\n').map((line) => {
      const colon = line.indexOf(':');
      return [line.slice(0, colon), line.slice(colon + 1)];
    }),
  );
}

function checkVersion(version: string): void {
  const [major = 0, minor = 0] = version.split('.').map(Number);
  const { major: oldestMajor, minor: oldestMinor } = OLDEST_VERSION;
  if (major > oldestMajor || (major === oldestMajor && minor >= oldestMinor)) return;
  throw new PushConfigurationError([
    `Redis is of version ${version}: ${oldestMajor}.${oldestMinor} or newer is needed`,
  ]);
}

/** undefined where CONFIG may not be asked, as on hosted ones. */
async function fsyncOf(client: RedisClient): Promise<string | undefined> {
  try {
    return (await client.configGet('appendfsync'))['appendfsync'];
  } catch (cause) {
    if (await isRefusal(cause)) return undefined;
    throw cause;
  }
}
