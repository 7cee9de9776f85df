/** An authenticator that takes longer refuses the connection (503), so that a pending upgrade never holds its place for good. */
const AUTHENTICATION_DEADLINE_MS = 5000;

/** Waits for the application's authenticator or authorizer, but not for ever. */
export async function withDeadline<T>(work: T | Promise<T>): Promise<T> {
  if (!(work instanceof Promise)) return work;
  let timer: NodeJS.Timeout | undefined;
  const deadline = new Promise<never>((_, reject) => {
    const error = new Error(`there was no answer within ${AUTHENTICATION_DEADLINE_MS} ms`);
    timer = setTimeout(() => reject(error), AUTHENTICATION_DEADLINE_MS);
  });
  try {
    return await Promise.race([work, deadline]);
  } finally {
    clearTimeout(timer);
  }
}
