import { request } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';

const LOOK_AGAIN_MS = 50;
const REQUEST_TIMEOUT_MS = 1000;

/** Whether a node says that it is ready; undefined where it does not answer. */
function isReady(port: number): Promise<boolean | undefined> {
  return new Promise((resolve) => {
    const sent = request({ host: '127.0.0.1', port, path: '/health/ready', agent: false }, (response) => {
      response.resume();
      response.on('end', () => resolve(response.statusCode === 200));
    });
    sent.setTimeout(REQUEST_TIMEOUT_MS, () => sent.destroy());
    sent.on('error', () => resolve(undefined));
    sent.end();
  });
}

/** Resolves when all nodes say so, with the milliseconds that it took; rejects after the deadline. */
export async function untilReadiness(ports: readonly number[], expected: boolean, deadlineMs: number): Promise<number> {
  const begunMs = performance.now();
  for (;;) {
    const answers = await Promise.all(ports.map(isReady));
    const tookMs = performance.now() - begunMs;
    if (answers.every((answer) => answer === expected)) return tookMs;
    if (tookMs > deadlineMs) {
      throw new Error(
        `not within ${deadlineMs} ms: every node is ${expected ? 'ready' : 'not ready'} (${answers.join()})`,
      );
    }
    await sleep(LOOK_AGAIN_MS);
  }
}
