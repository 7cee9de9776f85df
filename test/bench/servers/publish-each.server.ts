import { createClient } from 'redis';
import type { Datum } from '../datum.js';
import type { StartServer } from './bench.server.js';
import { startOurs } from './ours.server.js';

const CHANNEL = 'publish-each';

/**
 * Single nodes of the gateway, joined in the way that an application would write itself: each datum is published alone,
 * and who has clients pushes what it hears.
 */
export const startPublishEach: StartServer = async ({ redisUrl, isReceiver = false, ...settings }) => {
  if (redisUrl === undefined) return 'this needs Redis';
  const node = await startOurs(settings);
  if (typeof node === 'string') return node;
  const redis = await createClient({ url: redisUrl }).connect();
  if (isReceiver) {
    await redis.subscribe(CHANNEL, (text) => void node.push(JSON.parse(text) as Datum));
    return node;
  }
  return {
    ...node,
    push(datum) {
      void redis.publish(CHANNEL, JSON.stringify(datum));
      return node.push(datum);
    },
  };
};
