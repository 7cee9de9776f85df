import { CloseCodes } from '../protocol/close-codes.js';
import { AlarmNotAcceptedError, EventIdConflictError } from '../push.errors.js';

/** Each value of a label is a time series of its own, so what clients and applications make up shares one. */
export const OTHER = 'other';

/** Of RFC 6455 section 7.4.1 and its registry. */
const STANDARD_CLOSE_CODES = [1000, 1001, 1002, 1003, 1005, 1006, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014];
const KNOWN_CLOSE_CODES = new Set<number>([
  ...STANDARD_CLOSE_CODES,
  ...Object.values(CloseCodes).map(({ code }) => code),
]);

/** Why the gateways refuse. An authenticator of the application may have other reasons. */
export const REFUSAL_REASONS = [
  'addressLimit',
  'alarmLog',
  'anonymous',
  'authentication',
  'authorisation',
  'extensions',
  'forbiddenKey',
  'forbiddenUser',
  'full',
  'headers',
  'host',
  'key',
  'method',
  'origin',
  'parameter',
  'path',
  'rateLimit',
  'revoked',
  'snapshotTooLarge',
  'subprotocol',
  'subscriptionLimit',
  'ticket',
  'tickets',
  'tokenClaims',
  'tokenExpired',
  'tokenInvalid',
  'tokenMissing',
  'unavailable',
  'upgrade',
  'url',
  'userLimit',
  'version',
] as const;
const KNOWN_REASONS = new Set<string>(REFUSAL_REASONS);

export function closeCodeLabel(code: number): string {
  return KNOWN_CLOSE_CODES.has(code) ? String(code) : OTHER;
}

export function refusalLabel(reason: string): string {
  return KNOWN_REASONS.has(reason) ? reason : OTHER;
}

/** Why an append failed. */
export function errorLabel(cause: unknown): string {
  if (cause instanceof AlarmNotAcceptedError) return cause.outcome;
  return cause instanceof EventIdConflictError ? 'conflict' : OTHER;
}

/** Adds up what shares a label. */
export function countsByLabel<K>(counts: ReadonlyMap<K, number>, labelOf: (key: K) => string): Map<string, number> {
  const byLabel = new Map<string, number>();
  for (const [key, count] of counts) byLabel.set(labelOf(key), (byLabel.get(labelOf(key)) ?? 0) + count);
  return byLabel;
}
