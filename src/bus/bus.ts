import type { DatumOrigin } from '../fan-out/datum-origin.js';
import type { Interest } from '../fan-out/interest.js';
import type { PushTarget } from '../fan-out/raw-data.router.js';

export type { DatumOrigin };

/** Injection token of the {@link RawDataBus}. */
export const RAW_DATA_BUS = Symbol('RAW_DATA_BUS');

/** One raw datum on its way to the other nodes. */
export interface RawDataEnvelope {
  readonly datumJson: string;
  readonly conflationKey: string;
  readonly businessType: string;
  readonly businessId: string | undefined;
  readonly to: PushTarget | undefined;
  readonly except: string | undefined;
}

/** What a bus has done since the start. */
export interface BusCounts {
  /** Data that were handed on for other nodes, whether there are any or not. */
  readonly sent: number;
  /** Data that came from other nodes. */
  readonly received: number;
  /** Data that were replaced by newer ones while they waited to be sent. */
  readonly conflated: number;
  /** Data that were not sent, or may not have been. */
  readonly dropped: number;
}

/** Whether a datum is a value of its series, as it was pushed to its own address, and its newest one is to be known. */
export function isLastValue({ businessId, to }: RawDataEnvelope): boolean {
  return businessId !== undefined && to === undefined;
}

/**
 * The way of raw data between nodes. It speaks to the other nodes only: local delivery neither waits for it nor comes
 * back through it, and both ways end in the registry's `route`.
 *
 * Guarantees: at most once; what one node sends of one (businessType, businessId) arrives in its order; a node is sent
 * what it wants, and nothing else. Alarms never travel here, the log is the only source of their order.
 */
export interface RawDataBus {
  /** Why other nodes cannot be heard now; undefined where they can, or there are none. */
  readonly fault: string | undefined;

  /** Undefined where there are no other nodes. */
  readonly counts: BusCounts | undefined;

  /**
   * Never throws and never waits; what cannot be sent is counted by the backend. Returns what the other nodes are told
   * that the datum is, or undefined where there are no other nodes.
   */
  send(envelope: RawDataEnvelope): DatumOrigin | undefined;

  /** Calls back with what other nodes sent. The returned function ends that. */
  onReceived(listener: (envelope: RawDataEnvelope, origin: DatumOrigin) => void): () => void;

  /** From now on what is addressed to this is wanted, until it was given up as often as it was wanted. */
  want(interest: Interest): void;
  giveUp(interest: Interest): void;

  /**
   * Resolves when whatever other nodes send from then on, and was wanted until now, arrives; also where that cannot be
   * now (`fault`). Undefined: there is nothing to wait for.
   */
  whenWanted(): Promise<void> | undefined;

  /**
   * Calls back when `fault` has come, and when it has gone: then everything wanted arrives again, and what was sent
   * meanwhile is lost. The returned function ends that.
   */
  onFaultChanged(listener: () => void): () => void;

  close(): Promise<void>;
}
