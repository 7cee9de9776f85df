import { withDeadline } from '../push.deadline.js';

/** How long a test waits for something that takes milliseconds when all is well. */
export const DEADLINE_MS = 5000;

/** What the promise gives, or an error that says what did not happen in time (5,000 ms unless told otherwise). */
export function within<T>(promise: Promise<T>, what: string, deadlineMs = DEADLINE_MS): Promise<T> {
  return withDeadline(promise, deadlineMs, () => {
    throw new Error(`not within ${deadlineMs} ms: ${what}`);
  });
}

/** Waits until the condition holds, looking again in every turn of the event loop; rejects as {@link within} does. */
export async function until(condition: () => boolean, what: string, deadlineMs = DEADLINE_MS): Promise<void> {
  const deadlineAtMs = performance.now() + deadlineMs;
  while (!condition()) {
    if (performance.now() > deadlineAtMs) throw new Error(`not within ${deadlineMs} ms: ${what}`);
    await turn();
  }
}

/** One turn of the event loop: what was ready to happen has happened. */
export async function turn(): Promise<void> {
  await new Promise((resolve) => setImmediate(resolve));
}
