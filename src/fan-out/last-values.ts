import { ANY_BUSINESS_ID, type KeyAddress } from '../protocol/messages.js';
import { RecencyList } from './recency.list.js';
import { type KeptValue, SeriesValues, type StoredValue } from './series-values.js';

export interface LastValuesOptions {
  /** Values kept of each series. */
  readonly history: number;
  /** Series kept; over it the least recently pushed one goes. */
  readonly maxSnapshotSeries: number;
  /** Length of all JSON kept, in UTF-16 units; over it the least recently pushed series go. */
  readonly maxSnapshotBytes: number;
}

/** The series of one (businessType, businessId), by conflation key. */
type SeriesOfId = Map<string, SeriesValues>;

/**
 * The last values of each series, for clients that come later. Text is kept rather than frames: a small Buffer keeps
 * alive the whole block that it was cut from.
 */
export class LastValues {
  private readonly series = new Map<string, SeriesValues>();
  private readonly byRecency = new RecencyList<SeriesValues>();
  private readonly byType = new Map<string, Map<string, SeriesOfId>>();
  private bytes = 0;
  private arrivalCount = 0;

  constructor(private readonly options: LastValuesOptions) {}

  get seriesCount(): number {
    return this.series.size;
  }

  get byteLength(): number {
    return this.bytes;
  }

  /** How many values with an origin have arrived. */
  get arrivals(): number {
    return this.arrivalCount;
  }

  /** False where it has come before, or a newer one of its producer has. */
  keep(address: SeriesValues['address'], value: KeptValue): boolean {
    const { conflationKey, origin } = value;
    const series = this.series.get(conflationKey) ?? this.addSeries(address, conflationKey);
    if (origin !== undefined) {
      if (series.hasHeard(origin)) return false;
      value.arrival = this.arrivalCount += 1;
    }
    const { length } = series;
    series.push(value);
    this.changed(series, length);
    return true;
  }

  /**
   * Joins in what a store that the nodes share has of one series, oldest first: see {@link SeriesValues.merge}. Returns what
   * is newer than all that was known here.
   */
  merge(
    address: SeriesValues['address'],
    stored: readonly StoredValue[],
    sinceArrival: number,
  ): readonly StoredValue[] {
    const [first] = stored;
    if (first === undefined) return [];
    const { conflationKey } = first;
    const series = this.series.get(conflationKey) ?? this.addSeries(address, conflationKey);
    const { length } = series;
    const news = series.merge(stored, sinceArrival);
    this.changed(series, length);
    return news;
  }

  /**
   * The last values of every series of an address (`businessId: '*'`: of the whole type), at most `history` of each,
   * series by series, oldest first.
   */
  valuesOf({ businessType, businessId }: KeyAddress, history: number): KeptValue[][] {
    const ofType = this.byType.get(businessType);
    const ids = businessId === ANY_BUSINESS_ID ? [...(ofType?.values() ?? [])] : [ofType?.get(businessId)];
    return ids.flatMap((ofId) => [...(ofId?.values() ?? [])].map(({ values }) => values.slice(-history)));
  }

  /** The newest value of every series of an address. */
  *newestOf({ businessType, businessId }: KeyAddress): Generator<KeptValue> {
    const ofType = this.byType.get(businessType);
    const ids = businessId === ANY_BUSINESS_ID ? (ofType?.values() ?? []) : [ofType?.get(businessId)];
    for (const ofId of ids) {
      for (const { values } of ofId?.values() ?? []) {
        const newest = values.at(-1);
        if (newest !== undefined) yield newest;
      }
    }
  }

  /** It is the most recent one now. */
  private changed(series: SeriesValues, lengthBefore: number): void {
    this.bytes += series.length - lengthBefore;
    this.byRecency.makeNewest(series);
    this.evict();
  }

  private addSeries(address: SeriesValues['address'], conflationKey: string): SeriesValues {
    const series = new SeriesValues(address, conflationKey, this.options.history);
    this.series.set(conflationKey, series);
    const ofType = getOrCreate(this.byType, address.businessType, () => new Map<string, SeriesOfId>());
    getOrCreate(ofType, address.businessId, () => new Map<string, SeriesValues>()).set(conflationKey, series);
    return series;
  }

  private evict(): void {
    const { maxSnapshotSeries, maxSnapshotBytes } = this.options;
    while (this.series.size > maxSnapshotSeries || this.bytes > maxSnapshotBytes) {
      const oldest = this.byRecency.removeOldest();
      if (oldest === undefined) return;
      this.series.delete(oldest.conflationKey);
      this.bytes -= oldest.length;
      this.removeFromType(oldest);
    }
  }

  private removeFromType({ address: { businessType, businessId }, conflationKey }: SeriesValues): void {
    const ofType = this.byType.get(businessType);
    const ofId = ofType?.get(businessId);
    ofId?.delete(conflationKey);
    if (ofId?.size === 0) ofType?.delete(businessId);
    if (ofType?.size === 0) this.byType.delete(businessType);
  }
}

function getOrCreate<K, V>(map: Map<K, V>, key: K, create: () => V): V {
  let value = map.get(key);
  if (value === undefined) {
    value = create();
    map.set(key, value);
  }
  return value;
}
