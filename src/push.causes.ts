// What was thrown, by its shape and not by instanceof: the platform's errors may come from another realm than this code.

/** The `code` of an error of Node (a name) or of LMDB (a number). */
export function codeOf(cause: unknown): string | number | undefined {
  const code = memberOf(cause, 'code');
  return typeof code === 'string' || typeof code === 'number' ? code : undefined;
}

/** In a sentence. Node's AggregateError, of a name with several addresses, has no message but a code. */
export function reasonOf(cause: unknown): string {
  const message = memberOf(cause, 'message');
  return message === undefined ? String(cause) : String(message || (codeOf(cause) ?? cause));
}

/** For a log: where it was thrown, too. */
export function stackOf(cause: unknown): string {
  return String(memberOf(cause, 'stack') ?? reasonOf(cause));
}

function memberOf(cause: unknown, name: string): unknown {
  return typeof cause === 'object' && cause !== null ? (cause as Record<string, unknown>)[name] : undefined;
}
