import type { Cursor } from '../protocol/cursor.js';
import type { ServerEvents } from '../protocol/messages.js';
import type { AlarmAddress } from './alarm.client.js';
import type { Batch } from './batch.js';
import type { Frame } from './frame.js';

/** An alarm of the log, ready to be written; its frame is shared by all clients. */
export interface LoggedAlarm {
  readonly offset: number;
  readonly address: AlarmAddress;
  readonly frame: Frame;
}

/** A part of the log, shared by all clients that are in it. */
export interface AlarmPage {
  /** Oldest first. */
  readonly alarms: readonly LoggedAlarm[];
  /** Up to this offset the log has no others. */
  readonly end: number;
  /** Where the batches of all begin that are written what comes after this offset; undefined: each has its own there. */
  rootAfter(offset: number): Batch | undefined;
}

/** Where a client goes on. */
export interface Resumption {
  /** Everything after this offset. */
  readonly offset: number;
  /** What it has to be told first. */
  readonly gap: ServerEvents['gap'] | undefined;
}

/** The log, as the clients that are fed from it see it. */
export interface AlarmSource {
  /** All offsets are of this epoch. After another one has begun, each client is told by its `beginAnew`. */
  readonly epoch: string;

  /** Offset of the newest alarm that is out; clients at the head have been offered everything up to it. */
  readonly head: number;

  /** Alarms after this offset, none beyond the head. Undefined: they have to be read first, and `whenRead` is called then. */
  after(offset: number, whenRead: () => void): AlarmPage | undefined;

  /** A `heartbeat` that says that everything up to here is done with. */
  positionFrame(offset: number): Frame;

  /** Where a client goes on that has everything up to this place, of whichever epoch. */
  resume(cursor: Cursor): Resumption;

  /** The `gap` after this offset, before the alarm `oldestOffset`. */
  gapFrame(afterOffset: number, oldestOffset: number): Frame;
}
