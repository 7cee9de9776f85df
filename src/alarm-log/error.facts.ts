// By shape, not by instanceof: the platform's errors may come from another realm than this code.

/** The `code` of an error of Node (a name) or of LMDB (a number). */
export function codeOf(cause: unknown): string | number | undefined {
  if (typeof cause !== 'object' || cause === null || !('code' in cause)) return undefined;
  return typeof cause.code === 'string' || typeof cause.code === 'number' ? cause.code : undefined;
}

export function reasonOf(cause: unknown): string {
  if (typeof cause !== 'object' || cause === null || !('message' in cause)) return String(cause);
  return String(cause.message);
}
