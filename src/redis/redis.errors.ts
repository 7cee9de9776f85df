/**
 * Whether Redis has certainly not done what it was asked: it answered with an error, or was never asked. Everything else,
 * as a connection that was lost, leaves it open.
 */
export async function isRefusal(cause: unknown): Promise<boolean> {
  const { ClientClosedError, ClientOfflineError, ErrorReply } = await import('redis');
  return [ErrorReply, ClientOfflineError, ClientClosedError].some((kind) => cause instanceof kind);
}
