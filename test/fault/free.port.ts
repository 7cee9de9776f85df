import { once } from 'node:events';
import { createServer } from 'node:net';
import type { Random } from '../support/random.js';

/**
 * A port for a server that comes and goes: below those that the system gives to outgoing connections, or a client that
 * retries while nobody listens could be connected to itself.
 */
export async function freePort(random: Random): Promise<number> {
  for (let attempt = 0; attempt < 100; attempt++) {
    const port = 10_000 + random.below(20_000);
    if (await isFree(port)) return port;
  }
  throw new Error('no free port was found');
}

async function isFree(port: number): Promise<boolean> {
  const server = createServer();
  const refused = new Promise<boolean>((resolve) => server.once('error', () => resolve(false)));
  server.listen(port, '127.0.0.1');
  const isListening = await Promise.race([once(server, 'listening').then(() => true), refused]);
  if (isListening) await new Promise((resolve) => server.close(resolve));
  return isListening;
}
