import { parseCursor } from './cursor.js';
import type { ClientEvent, ClientEvents, KeyAddress, SubscriptionRequest } from './messages.js';

/** A client's request id, repeated in the answer: a string of at most 64 characters or a finite number. */
export type Ref = string | number;

/** One parsed message of a `push.v1` client. `other` is an event that is the application's, not ours. */
export type ClientMessage =
  | { [E in ClientEvent]: { event: E; data: ClientEvents[E]; ref: Ref | undefined } }[ClientEvent]
  | { event: 'other'; name: string; data: unknown; ref: Ref | undefined };

/** What was sent is not a `push.v1` message; `message` says what is wrong with it, without quoting it. */
export class BadMessageError extends Error {
  constructor(
    message: string,
    readonly ref?: Ref,
  ) {
    super(message);
    this.name = 'BadMessageError';
  }
}

const MAX_REF_LENGTH = 64;
const MAX_EVENT_LENGTH = 64;
const MAX_KEYS_A_MESSAGE = 1000;
/** A client's rate limit is at most this; without one it gets every value. */
export const MAX_FREQUENCY_HZ = 1000;

type JsonObject = Record<string, unknown>;

/** Parses and checks one message; throws {@link BadMessageError}. Unknown fields are ignored, so clients may be newer. */
export function parseClientMessage(text: string): ClientMessage {
  const message = parseObject(text);
  const ref = refOf(message['ref']);
  const event = message['event'];
  if (typeof event !== 'string' || event.length === 0 || event.length > MAX_EVENT_LENGTH) {
    throw new BadMessageError(`"event" must be a string of 1 to ${MAX_EVENT_LENGTH} characters`, ref);
  }
  const data = message['data'];
  switch (event) {
    case 'subscribe':
      return { event, data: { keys: keysOf(data, ref).map((key) => subscriptionOf(key, ref)) }, ref };
    case 'unsubscribe':
      return { event, data: { keys: keysOf(data, ref).map((key) => addressOf(key, ref)) }, ref };
    case 'mark':
      return { event, data: { n: markNumberOf(data, ref) }, ref };
    case 'auth':
      return { event, data: { token: tokenOf(data, ref) }, ref };
    case 'ack':
      return { event, data: { id: cursorOf(data, ref) }, ref };
    default:
      return { event: 'other', name: event, data, ref };
  }
}

function parseObject(text: string): JsonObject {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw new BadMessageError('not valid JSON');
  }
  if (!isObject(value)) throw new BadMessageError('a message is a JSON object with "event" and "data"');
  return value;
}

function isObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function refOf(ref: unknown): Ref | undefined {
  if (ref === undefined) return undefined;
  if (typeof ref === 'string' && ref.length <= MAX_REF_LENGTH) return ref;
  if (typeof ref === 'number' && Number.isFinite(ref)) return ref;
  throw new BadMessageError(`"ref" must be a number or a string of at most ${MAX_REF_LENGTH} characters`);
}

function keysOf(data: unknown, ref: Ref | undefined): unknown[] {
  const keys = isObject(data) ? data['keys'] : undefined;
  if (!Array.isArray(keys)) throw new BadMessageError('"data.keys" must be an array', ref);
  if (keys.length > MAX_KEYS_A_MESSAGE) {
    throw new BadMessageError(`"data.keys" holds more than ${MAX_KEYS_A_MESSAGE} keys`, ref);
  }
  return keys;
}

function addressOf(key: unknown, ref: Ref | undefined): KeyAddress {
  if (!isObject(key)) throw new BadMessageError('a key is an object with "businessType" and "businessId"', ref);
  const { businessType, businessId } = key;
  if (typeof businessType !== 'string' || typeof businessId !== 'string') {
    throw new BadMessageError('"businessType" and "businessId" of a key must be strings', ref);
  }
  return { businessType, businessId };
}

function subscriptionOf(key: unknown, ref: Ref | undefined): SubscriptionRequest {
  const request: SubscriptionRequest = addressOf(key, ref);
  const { maxFrequencyHz, snapshot, history } = key as JsonObject;
  if (maxFrequencyHz !== undefined) {
    if (typeof maxFrequencyHz !== 'number' || !(maxFrequencyHz > 0 && maxFrequencyHz <= MAX_FREQUENCY_HZ)) {
      throw new BadMessageError(`"maxFrequencyHz" must be greater than 0 and at most ${MAX_FREQUENCY_HZ}`, ref);
    }
    request.maxFrequencyHz = maxFrequencyHz;
  }
  if (snapshot !== undefined) {
    if (typeof snapshot !== 'boolean') throw new BadMessageError('"snapshot" must be true or false', ref);
    request.snapshot = snapshot;
  }
  if (history !== undefined) {
    if (!Number.isSafeInteger(history) || (history as number) < 0) {
      throw new BadMessageError('"history" must be a whole number of values', ref);
    }
    request.history = history as number;
  }
  return request;
}

function markNumberOf(data: unknown, ref: Ref | undefined): number {
  const n = isObject(data) ? data['n'] : undefined;
  if (!Number.isSafeInteger(n)) throw new BadMessageError('"data.n" must be the number of a mark', ref);
  return n as number;
}

function tokenOf(data: unknown, ref: Ref | undefined): string {
  const token = isObject(data) ? data['token'] : undefined;
  if (typeof token !== 'string' || token === '') throw new BadMessageError('"data.token" must be a token', ref);
  return token;
}

function cursorOf(data: unknown, ref: Ref | undefined): string {
  const id = isObject(data) ? data['id'] : undefined;
  if (typeof id !== 'string' || parseCursor(id) === undefined) {
    throw new BadMessageError('"data.id" must be the id of an alarm or a heartbeat', ref);
  }
  return id;
}
