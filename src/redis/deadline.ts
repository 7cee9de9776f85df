import { withDeadline } from '../push.deadline.js';

/** Redis did not answer in time. Whether it has done what it was asked is not known. */
export class RedisDeadlineError extends Error {
  constructor(deadlineMs: number) {
    super(`Redis did not answer within ${deadlineMs} ms`);
    this.name = 'RedisDeadlineError';
  }
}

/** What the promise gives; rejects with {@link RedisDeadlineError} where that takes too long: node-redis' own timeout does not fire for a command that was written. */
export function withinMs<T>(promise: Promise<T>, deadlineMs: number): Promise<T> {
  return withDeadline(promise, deadlineMs, () => {
    throw new RedisDeadlineError(deadlineMs);
  });
}
