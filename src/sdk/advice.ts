import { type AfterClose, CloseCodes } from '../protocol/close-codes.js';
import type { Address } from './credentials.js';
import { after, surroundings } from './surroundings.js';

/** Faults of the client's by RFC 6455 section 7.4.1: they would come again. */
const CLIENT_FAULT = /^10(0[23789]|10)$/;

/** What to do after a close. A code of the application's own, or 1000, does not hurry. */
export function adviceAfter(code: number): AfterClose {
  const ours = Object.values(CloseCodes).find((each) => each.code === code);
  if (ours !== undefined) return ours.advice;
  if (CLIENT_FAULT.test(String(code))) return 'stop';
  return code === 1000 || code >= 3000 ? 'back off' : 'retry';
}

/** Why the server does not let the client in, in its own words. */
export interface Refusal {
  readonly status: number;
  /** The server's `error`. */
  readonly code: string | undefined;
  readonly message: string;
  /** The same request would be refused again. */
  readonly isFinal: boolean;
  readonly retryAfterMs: number;
}

const FINAL = new Set([400, 403, 404, 405, 414, 431]);

/** Also where the server is of another origin, whose answer a page may not read. */
export const NO_ANSWER: Refusal = {
  status: 0,
  code: undefined,
  message: 'no connection',
  isFinal: false,
  retryAfterMs: 0,
};

/** Asks a path by a plain GET what an upgrade would be answered: who is refused by an upgrade is not told why. */
export async function askWhy({ url, token }: Address, timeoutMs: number): Promise<Refusal> {
  const { fetch, AbortController } = surroundings;
  if (fetch === undefined || AbortController === undefined) return NO_ANSWER;
  const abort = new AbortController();
  const cancel = after(timeoutMs, () => abort.abort());
  try {
    const response = await fetch(url.replace(/^ws/, 'http'), {
      headers: { Accept: 'application/json', ...(token === undefined ? {} : { Authorization: `Bearer ${token}` }) },
      cache: 'no-store',
      signal: abort.signal,
    });
    const { status } = response;
    // It would let the client in: what failed is over, or lies in between.
    if (status === 426) return NO_ANSWER;
    // A proxy answers with a page of its own.
    const body = (await response.json().catch(() => undefined)) as { error?: string; message?: string } | undefined;
    const retryAfterMs = Number(response.headers.get('Retry-After')) * 1000 || 0;
    const { error: code, message = `the server answers ${status}` } = body ?? {};
    return { status, code, message, isFinal: code !== undefined && FINAL.has(status), retryAfterMs };
  } catch {
    return NO_ANSWER;
  } finally {
    cancel();
  }
}
