/** Redis did not answer in time. Whether it has done what it was asked is not known. */
export class RedisDeadlineError extends Error {
  constructor(deadlineMs: number) {
    super(`Redis did not answer within ${deadlineMs} ms`);
    this.name = 'RedisDeadlineError';
  }
}

/** What the promise gives; rejects with {@link RedisDeadlineError} where that takes too long: node-redis' own timeout does not fire for a command that was written. */
export async function withinMs<T>(promise: Promise<T>, deadlineMs: number): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const deadline = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => reject(new RedisDeadlineError(deadlineMs)), deadlineMs);
  });
  try {
    return await Promise.race([promise, deadline]);
  } finally {
    clearTimeout(timer);
  }
}
