/**
 * What went wrong:
 * - `stopped`: the server refused for good, or closed with a code that means stop; the connection is over.
 * - `closed`: `close()` was called before an answer came.
 * - `request`: the server answered `exception`.
 * - `token`: the token or ticket callback failed; it is asked again.
 * - `listener`: a listener threw, or the promise that it returned was rejected.
 * - `storage`: the place of the alarms could not be read or written.
 * - `overflow`: a loop over the connection does not keep up.
 */
export type PushClientFault = 'stopped' | 'closed' | 'request' | 'token' | 'listener' | 'storage' | 'overflow';

export interface PushClientErrorDetails {
  /** The refusal's word (`forbiddenKey`), the close code, or the exception's code. */
  readonly code?: string | number | undefined;
  /** HTTP status of a refusal. */
  readonly status?: number | undefined;
  readonly cause?: unknown;
}

export class PushClientError extends Error {
  override readonly name = 'PushClientError';
  readonly code: string | number | undefined;
  readonly status: number | undefined;

  constructor(
    readonly fault: PushClientFault,
    message: string,
    { code, status, cause }: PushClientErrorDetails = {},
  ) {
    super(message, { cause });
    this.code = code;
    this.status = status;
  }
}

export function messageOf(cause: unknown): string {
  return cause instanceof Error ? cause.message : String(cause);
}
