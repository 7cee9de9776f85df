/** What a client should do after a close: connect again, connect again later, fetch a new token first, or give up. */
export type AfterClose = 'retry' | 'back off' | 'refresh' | 'stop';

export interface CloseCode {
  readonly code: number;
  readonly reason: string;
  readonly advice: AfterClose;
}

/**
 * Every close code the server sends on purpose (RFC 6455 section 7.4: 1012 is the registry's "service restart",
 * 4000 to 4999 are the application's). The reason is at most 123 bytes, as a close frame allows.
 */
export const CloseCodes = {
  drain: { code: 1012, reason: 'server is restarting', advice: 'retry' },
  badMessage: { code: 4400, reason: 'bad message', advice: 'stop' },
  token: { code: 4401, reason: 'token expired', advice: 'refresh' },
  forbidden: { code: 4403, reason: 'forbidden', advice: 'stop' },
  tooSlow: { code: 4408, reason: 'too slow', advice: 'retry' },
  takenOver: { code: 4409, reason: 'taken over by a newer connection', advice: 'stop' },
  overtaken: { code: 4410, reason: 'the next alarms are gone', advice: 'retry' },
  outboxFull: { code: 4413, reason: 'outbox over its budget', advice: 'retry' },
  flood: { code: 4429, reason: 'too many messages', advice: 'back off' },
} as const satisfies Record<string, CloseCode>;
