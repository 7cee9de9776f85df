import type { StoredValue } from '../fan-out/series-values.js';
import type { KeyAddress } from '../protocol/messages.js';

/** Injection token of the {@link LastValueStore}; undefined is provided where there is one node only. */
export const LAST_VALUE_STORE = Symbol('LAST_VALUE_STORE');

/** What a store has of one series. */
export interface StoredSeries {
  readonly address: { readonly businessType: string; readonly businessId: string };
  /** Oldest first, at least one. */
  readonly values: readonly StoredValue[];
}

/**
 * The last values of each series that any node pushed to its own (businessType, businessId), without `to`. Writing them is
 * the bus's: a value is in the store once another node can have received it.
 */
export interface LastValueStore {
  /**
   * The last values of all series of an address (`businessId: '*'`: of the whole type), up to `history` of each, page by
   * page. **When a page comes, everything has arrived by the bus that was sent before it was read** and is wanted. Rejects
   * where the store cannot be read.
   */
  read(address: KeyAddress): AsyncIterable<readonly StoredSeries[]>;
}
