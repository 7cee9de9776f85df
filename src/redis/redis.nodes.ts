import type { ClientCounts, NodeInfo } from '../bus/cluster.js';
import type { RedisConnection } from './redis.connection.js';
import { RedisScript } from './redis.script.js';

/** By the clock of Redis, so that the nodes' own need not agree. */
const NOW = `
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
`;

/** KEYS: nodes. ARGV: nodeId, entry, expiry in ms. The key of all goes with the last of them. */
const BEAT = new RedisScript(`${NOW}
redis.call('HSET', KEYS[1], ARGV[1], (now + ARGV[3]) .. ' ' .. ARGV[2])
redis.call('PEXPIRE', KEYS[1], ARGV[3])
`);

/** KEYS: nodes. Gives the entries of those that are alive, and removes the others. */
const LIST = new RedisScript(`${NOW}
local alive = {}
local entries = redis.call('HGETALL', KEYS[1])
for i = 1, #entries, 2 do
  local untilMs, entry = string.match(entries[i + 1], '^(%d+) (.*)$')
  if tonumber(untilMs) > now then alive[#alive + 1] = entry else redis.call('HDEL', KEYS[1], entries[i]) end
end
return alive
`);

interface Entry extends ClientCounts {
  readonly nodeId: string;
  readonly host: string;
  readonly pid: number;
  readonly startedAtMs: number;
}

/** The entries of the nodes; one that is not renewed has gone. */
export class RedisNodes {
  private readonly key: string;

  constructor(
    private readonly connection: RedisConnection,
    private readonly expiryMs: number,
  ) {
    this.key = connection.key('nodes');
  }

  async renew({ startedAt, ...node }: NodeInfo): Promise<void> {
    const entry: Entry = { ...node, startedAtMs: startedAt.getTime() };
    await this.connection.run(BEAT, [this.key], [node.nodeId, JSON.stringify(entry), String(this.expiryMs)]);
  }

  async remove(nodeId: string): Promise<void> {
    await this.connection.commands.client.hDel(this.key, nodeId);
  }

  /** The one that started first before the others. */
  async list(): Promise<NodeInfo[]> {
    const texts = (await this.connection.run(LIST, [this.key], [])) as string[];
    const entries = texts.map((text) => JSON.parse(text) as Entry);
    return entries
      .toSorted((a, b) => a.startedAtMs - b.startedAtMs || (a.nodeId < b.nodeId ? -1 : 1))
      .map(({ startedAtMs, ...entry }) => ({ ...entry, startedAt: new Date(startedAtMs) }));
  }
}
