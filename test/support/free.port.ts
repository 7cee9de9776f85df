import { once } from 'node:events';
import { createServer } from 'node:net';

/** Below those that the system gives to outgoing connections, or a client that retries while nobody listens could be connected to itself. */
const FIRST = 10_000;
const PORTS_A_WORKER = 2500;
const MAX_WORKERS = 8;

/** Whoever was given one may not listen yet, or not at the moment. */
const given = new Set<number>();

/** A port for a server that comes and goes; processes of one test run never get the same. */
export async function freePort(): Promise<number> {
  const worker = Number(process.env['JEST_WORKER_ID'] ?? 1) % MAX_WORKERS;
  for (let attempt = 0; attempt < 100; attempt++) {
    const port = FIRST + worker * PORTS_A_WORKER + Math.floor(Math.random() * PORTS_A_WORKER);
    if (given.has(port)) continue;
    given.add(port);
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
