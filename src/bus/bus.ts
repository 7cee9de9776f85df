import type { PushTarget } from '../fan-out/raw-data.router.js';

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

/**
 * The way of raw data between nodes. It speaks to the other nodes only: local delivery neither waits for it nor comes
 * back through it, and both ways end in the registry's `route`.
 *
 * Guarantees: at most once; what one node sends of one (businessType, businessId) arrives in its order. Alarms never
 * travel here, the log is the only source of their order.
 */
export interface RawDataBus {
  /** Never throws and never waits; what cannot be sent is counted by the backend. */
  send(envelope: RawDataEnvelope): void;

  /** Calls back with what other nodes sent. The returned function ends that. */
  onReceived(listener: (envelope: RawDataEnvelope) => void): () => void;

  close(): Promise<void>;
}
