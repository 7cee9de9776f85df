import type { CloseCode } from '../protocol/close-codes.js';
import type { Batch } from './batch.js';
import type { Encoding, Frame } from './frame.js';

/**
 * What a client could not be written yet, and the policy for it. Made when a client first falls behind, so a client
 * that keeps up costs no queue.
 */
export interface Backlog {
  readonly isEmpty: boolean;
  readonly byteLength: number;
  /** Values replaced by newer ones since the backlog was made, or last reported. */
  readonly conflatedCount: number;
  /** Puts a frame at the end, or in the place of an older one. */
  add(frame: Frame, nowMs: number): void;
  /** Whether the next `take` returns more although the last one was not full. */
  readonly canTakeMore: boolean;
  /**
   * Removes and returns the oldest frames that fit into `maxBytes` together, but at least one where there is one now. In
   * several batches where some of them are shared with other clients.
   */
  take(maxBytes: number): readonly Batch[];
  /** Applies the policy for what has waited too long, before a flush; what comes back is why the client has to be closed. */
  age(nowMs: number): CloseCode | undefined;
  /** Applies the policy to what a flush left; what comes back is why the client has to be closed. */
  settle(nowMs: number): CloseCode | undefined;
  /** After the backlog ran empty: what was conflated since the last such report, or undefined. */
  report(): ConflationReport | undefined;
}

export interface ConflationReport {
  /** How many values were replaced by newer ones. */
  readonly count: number;
  /** For how long, in milliseconds. */
  readonly forMs: number;
}

export interface BacklogPolicy {
  create(encoding: Encoding): Backlog;
}
