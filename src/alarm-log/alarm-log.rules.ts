import { EventIdConflictError, InvalidPushError } from '../push.errors.js';
import { type Cursor, formatCursor } from '../protocol/cursor.js';

/** What a log keeps: the newest, within all three. */
export interface AlarmRetention {
  readonly count: number;
  readonly hours: number;
  /** Of JSON. */
  readonly bytes: number;
}

/** How much JSON `read` returns at most, unless the first alarm alone is more. */
export const PAGE_BYTES = 1024 * 1024;

/** The eventId stands for the alarm stored at this cursor, which has other content. */
export function eventIdTaken(eventId: string, cursor: Cursor): EventIdConflictError {
  return new EventIdConflictError(eventId, formatCursor(cursor));
}

/** Two alarms of one batch have the same eventId but not the same content; neither is stored, so there is no cursor to name. */
export function eventIdTwice(index: number, firstIndex: number): InvalidPushError {
  const fault = `stands in [${firstIndex}] for an alarm with other content: use an eventId of its own for each event`;
  return new InvalidPushError('eventId', fault).at(`[${index}]`);
}
