import { Frame } from '../fan-out/frame.js';
import type { LastValues } from '../fan-out/last-values.js';
import type { RawDataClient } from '../fan-out/raw-data.router.js';
import type { KeptValue } from '../fan-out/series-values.js';
import type { KeyAddress, SubscriptionRequest } from '../protocol/messages.js';

export interface SnapshotsOptions {
  readonly lastValues: LastValues;
  /** For the newest values of one message, and for the history of one key. */
  readonly roomBytes: number;
  readonly compressionThresholdBytes: number | undefined;
  readonly mayShow: (client: RawDataClient, json: string) => boolean;
  /** Offers past the rate that the client asked for. */
  readonly offerNow: (client: RawDataClient, frame: Frame) => void;
}

/** A series for one client. */
interface ShownSeries {
  readonly newest: KeptValue;
  readonly older: readonly KeptValue[];
  /** Older ones that were looked at. */
  readonly olderCount: number;
}

/** The last values, for clients that ask for them. */
export class Snapshots {
  constructor(private readonly options: SnapshotsOptions) {}

  get roomBytes(): number {
    return this.options.roomBytes;
  }

  /** The newest values that a subscription asks for, counted until they have no room; none where it asks for none. */
  measure(
    { snapshot, history = 0, ...address }: SubscriptionRequest,
    roomBytes = this.roomBytes,
  ): { bytes: number; seriesCount: number } {
    let bytes = 0;
    let seriesCount = 0;
    if (snapshot !== true && history === 0) return { bytes, seriesCount };
    for (const newest of this.options.lastValues.newestOf(address)) {
      bytes += byteLength(newest);
      seriesCount += 1;
      if (bytes > roomBytes) break;
    }
    return { bytes, seriesCount };
  }

  /**
   * Offers the last values of an address: of each series up to `history`, oldest first, and then whatever is pushed. History
   * that has no room is left out, the newest value of a series never is. Returns how many older values were looked at.
   */
  send(client: RawDataClient, address: KeyAddress, history: number): number {
    const { compressionThresholdBytes, offerNow } = this.options;
    // Looked at as a whole first: the filter is the application's, and may push.
    const shown = this.shownOf(client, address, Math.max(1, history));
    for (const { older, newest } of shown) {
      for (const { json } of older) {
        // Never conflated: a slow client is to get its history all the same.
        client.offer(Frame.snapshot(json, newest.conflationKey, 'history', compressionThresholdBytes));
      }
      offerNow(client, Frame.snapshot(newest.json, newest.conflationKey, 'newest', compressionThresholdBytes));
    }
    return shown.reduce((sum, { olderCount }) => sum + olderCount, 0);
  }

  private shownOf(client: RawDataClient, address: KeyAddress, history: number): ShownSeries[] {
    const { lastValues, mayShow } = this.options;
    const isShown = ({ json }: KeptValue) => mayShow(client, json);
    const allSeries = lastValues.valuesOf(address, history).flatMap((values) => {
      const index = values.findLastIndex(isShown);
      const newest = values[index];
      return newest === undefined ? [] : [{ newest, before: values.slice(0, index) }];
    });
    let roomBytes = this.roomBytes;
    for (const { newest } of allSeries) roomBytes -= byteLength(newest);
    return allSeries.map(({ newest, before }) => {
      const older: KeptValue[] = [];
      let olderCount = 0;
      for (; olderCount < before.length && roomBytes >= 0; olderCount += 1) {
        const value = before[before.length - 1 - olderCount];
        if (value === undefined || !isShown(value)) continue;
        roomBytes -= byteLength(value);
        if (roomBytes >= 0) older.push(value);
      }
      return { newest, older: older.toReversed(), olderCount };
    });
  }
}

function byteLength({ json }: KeptValue): number {
  return Buffer.byteLength(json);
}
