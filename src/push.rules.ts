import { partFault } from './fan-out/key.js';
import { encodeJson, UnencodableError } from './fan-out/json.js';
import type { PushTarget } from './fan-out/raw-data.router.js';
import { InvalidPushError, PayloadTooLargeError } from './push.errors.js';
import type { Alarm, PushRawDataOptions, RawDatum } from './push.types.js';

/** Largest raw datum, in bytes of JSON. */
export const MAX_RAW_DATUM_BYTES = 1024 * 1024;
/** Largest alarm, in bytes of JSON. */
export const MAX_ALARM_BYTES = 64 * 1024;
/** Longest series, eventId, conditionId and orgId, in bytes. */
export const MAX_NAME_BYTES = 128;

const TARGET_PARTS = new Set(['businessType', 'businessId', 'userName', 'clientId']);
const PUSH_OPTIONS = new Set(['to', 'except']);

/** Throws {@link InvalidPushError} where the datum's address breaks the rules of keys. */
export function checkRawDatum(datum: RawDatum): void {
  checkIsObject(datum, 'the datum');
  checkPart('businessType', datum.businessType);
  if (datum.businessId !== undefined && datum.businessId !== '') checkPart('businessId', datum.businessId);
}

/** Throws {@link InvalidPushError} where `to` or `except` is not usable; an empty `to` is never "everybody". */
export function checkPushOptions(options: PushRawDataOptions): void {
  for (const name of Object.keys(options)) {
    if (!PUSH_OPTIONS.has(name)) throw new InvalidPushError(name, 'is not an option of a push: use "to" and "except"');
  }
  if (options.except !== undefined) checkPart('except', options.except);
  if ('to' in options) checkTarget(options.to);
}

function checkTarget(to: PushTarget | undefined): void {
  checkIsObject(to, 'to');
  const parts = Object.entries(to as object);
  if (parts.length === 0) throw new InvalidPushError('to', 'is empty: leave it out to use the address of the datum');
  for (const [name, part] of parts) {
    if (!TARGET_PARTS.has(name)) {
      throw new InvalidPushError(`to.${name}`, `is not a part of a key: use ${[...TARGET_PARTS].join(', ')}`);
    }
    checkPart(`to.${name}`, part);
  }
  if (to?.businessId !== undefined && to.businessType === undefined) {
    throw new InvalidPushError('to.businessId', 'needs to.businessType');
  }
}

/** Throws {@link InvalidPushError} unless exactly one of these names holds a text: what is absent never means everybody. */
export function checkIsOneOf(target: object, names: readonly string[]): void {
  checkIsObject(target, 'the target');
  const [[name, value] = [], ...others] = Object.entries(target).filter(([, each]) => each !== undefined);
  if (name === undefined || !names.includes(name) || others.length > 0) {
    throw new InvalidPushError('the target', `must be one of ${names.map((each) => `{ ${each} }`).join(', ')}`);
  }
  if (typeof value !== 'string' || value === '') throw new InvalidPushError(name, 'must be a text that is not empty');
}

/** Throws {@link InvalidPushError} where a field that the gateway reads is not usable. */
export function checkAlarm(alarm: Alarm): void {
  checkIsObject(alarm, 'the alarm');
  checkPart('businessId', alarm.businessId);
  if (alarm.businessType !== undefined) checkPart('businessType', alarm.businessType);
  const { severity, active } = alarm;
  if (severity !== undefined && !(Number.isInteger(severity) && severity >= 1 && severity <= 1000)) {
    throw new InvalidPushError('severity', 'must be a whole number from 1 to 1000');
  }
  if (active !== undefined && typeof active !== 'boolean')
    throw new InvalidPushError('active', 'must be true or false');
  if (active !== undefined && alarm.conditionId === undefined) {
    throw new InvalidPushError('conditionId', 'must say which condition is active or not');
  }
  checkName('conditionId', alarm.conditionId);
  checkName('eventId', alarm.eventId);
  if (alarm.orgId !== undefined) checkOrganisation(alarm.orgId);
}

/** Encodes once; throws {@link InvalidPushError} or {@link PayloadTooLargeError}. */
export function encodePayload(payload: object, what: 'raw datum' | 'alarm', maxBytes: number): string {
  let json: string;
  try {
    json = encodeJson(payload);
  } catch (cause) {
    if (cause instanceof UnencodableError) throw new InvalidPushError(cause.path, cause.fault);
    throw cause;
  }
  // Characters are at most three bytes each in UTF-8, so most payloads need not be counted.
  if (json.length * 3 > maxBytes) {
    const bytes = Buffer.byteLength(json);
    if (bytes > maxBytes) throw new PayloadTooLargeError(`the ${what}`, bytes, maxBytes);
  }
  return json;
}

/** The datum's `series` where it can be one, else '': all data of one address without a series are one series. */
export function defaultSeriesOf({ series }: RawDatum): string {
  const isSeries = typeof series === 'string' && Buffer.byteLength(series) <= MAX_NAME_BYTES;
  return isSeries ? series : '';
}

function checkIsObject(value: unknown, name: string): void {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw new InvalidPushError(name, 'must be an object');
  }
}

function checkPart(name: string, part: unknown): void {
  const fault = partFault(part);
  if (fault !== undefined) throw new InvalidPushError(name, fault);
}

function checkName(name: string, value: unknown): void {
  if (value === undefined) return;
  if (typeof value !== 'string' || value === '' || Buffer.byteLength(value) > MAX_NAME_BYTES) {
    throw new InvalidPushError(name, `must be a string of 1 to ${MAX_NAME_BYTES} bytes`);
  }
}

function checkOrganisation(orgId: unknown): void {
  checkName('orgId', orgId);
  for (const segment of String(orgId).split('/')) {
    const fault = partFault(segment);
    if (fault !== undefined) throw new InvalidPushError('orgId', `has a segment that ${fault}`);
  }
}
