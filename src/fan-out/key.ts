import { ANY_BUSINESS_ID, type KeyAddress } from '../protocol/messages.js';

/** The longest part of a key, in UTF-8 bytes. */
export const MAX_PART_BYTES = 128;

// eslint-disable-next-line no-control-regex -- control characters are what is looked for
const CONTROL_CHARACTER = /[\u0000-\u001f\u007f-\u009f\u2028\u2029]/;

/**
 * Says what is wrong with a part of a key, or undefined where nothing is. The one rule for paths, pushes, `to`,
 * subscriptions and claims: 1 to {@link MAX_PART_BYTES} bytes, no control characters, not `*`, `.` or `..`.
 */
export function partFault(part: unknown): string | undefined {
  if (typeof part !== 'string') return 'must be a string';
  if (part.length === 0) return 'must not be empty';
  if (part.length > MAX_PART_BYTES || Buffer.byteLength(part) > MAX_PART_BYTES) {
    return `must be at most ${MAX_PART_BYTES} bytes`;
  }
  if (CONTROL_CHARACTER.test(part)) return 'must not contain control characters';
  if (part === '*' || part === '.' || part === '..') return 'must not be "*", "." or ".."';
  if (!part.isWellFormed()) return 'must be well-formed Unicode';
  return undefined;
}

/** A client's address as it is logged and listed; parts are percent-encoded, so none holds a `:`. */
export function rawDataKey(businessType: string, businessId: string, userName: string, clientId: string): string {
  return `websocket:rowdata:${[businessType, businessId, userName, clientId].map(encodeURIComponent).join(':')}`;
}

/** As {@link rawDataKey}, for a client of the alarm gateway. */
export function alarmKey(clientId: string): string {
  return `websocket:alarm:${encodeURIComponent(clientId)}`;
}

/** What conflates with what: a series within (businessType, businessId). Parts hold no control characters, so NUL separates. */
export function conflationKey(businessType: string, businessId: string, series: string): string {
  return `${businessType}\0${businessId}\0${series}`;
}

export function addressOfConflationKey(key: string): { businessType: string; businessId: string } {
  const typeEnd = key.indexOf('\0');
  return { businessType: key.slice(0, typeEnd), businessId: key.slice(typeEnd + 1, key.indexOf('\0', typeEnd + 1)) };
}

/** The series may hold any character, NUL too. */
export function seriesOfConflationKey(key: string): string {
  return key.slice(key.indexOf('\0', key.indexOf('\0') + 1) + 1);
}

/** Tells whether a conflation key belongs to one of these addresses. */
export function belongsToAny(addresses: readonly KeyAddress[]): (conflationKey: string) => boolean {
  const wanted = new Set(addresses.map(({ businessType, businessId }) => conflationKey(businessType, businessId, '')));
  return (key) => {
    const { businessType, businessId } = addressOfConflationKey(key);
    return (
      wanted.has(conflationKey(businessType, businessId, '')) ||
      wanted.has(conflationKey(businessType, ANY_BUSINESS_ID, ''))
    );
  };
}
