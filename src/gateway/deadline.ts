import { withDeadline } from '../push.deadline.js';

/** An application that takes longer refuses the connection (503), so that a pending upgrade never holds its place for good. */
const ANSWER_DEADLINE_MS = 5000;

/** What the application's authenticator or authorizer answers, or an error where that takes too long. */
export async function answerOf<T>(work: T | Promise<T>): Promise<T> {
  if (!(work instanceof Promise)) return work;
  return withDeadline(work, ANSWER_DEADLINE_MS, () => {
    throw new Error(`there was no answer within ${ANSWER_DEADLINE_MS} ms`);
  });
}
