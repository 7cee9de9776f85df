import type { DatumOrigin } from './datum-origin.js';
import { type KeptValue, mergeStored, type StoredValue } from './kept-values.js';
import { ANY_BUSINESS_ID, type KeyAddress } from '../protocol/messages.js';

export interface LastValuesOptions {
  /** Values kept of each series. */
  readonly history: number;
  /** Series kept; over it the least recently pushed one goes. */
  readonly maxSnapshotSeries: number;
  /** Length of all JSON kept, in UTF-16 units; over it the least recently pushed series go. */
  readonly maxSnapshotBytes: number;
}

interface KeptSeries {
  readonly address: { businessType: string; businessId: string };
  /** Oldest first. */
  readonly values: KeptValue[];
}

/** The series of one (businessType, businessId), by conflation key. */
type SeriesOfId = Map<string, KeptSeries>;

/**
 * The last values of each series, for clients that come later. Text is kept rather than frames: a small Buffer keeps
 * alive the whole block that it was cut from.
 */
export class LastValues {
  /** Least recently pushed first. */
  private readonly byRecency = new Map<string, KeptSeries>();
  private readonly byType = new Map<string, Map<string, SeriesOfId>>();
  private bytes = 0;
  private arrivalCount = 0;

  constructor(private readonly options: LastValuesOptions) {}

  get seriesCount(): number {
    return this.byRecency.size;
  }

  get byteLength(): number {
    return this.bytes;
  }

  /** How many values with an origin have arrived. */
  get arrivals(): number {
    return this.arrivalCount;
  }

  /** False where the newest value kept is of the same producer and not older: this one has come before, or too late. */
  keep(address: { businessType: string; businessId: string }, value: KeptValue): boolean {
    const { conflationKey, origin } = value;
    const known = this.byRecency.get(conflationKey);
    if (origin !== undefined) {
      if (known !== undefined && isOutdated(origin, known.values.at(-1)?.origin)) return false;
      value.arrival = this.arrivalCount += 1;
    }
    const { values } = this.touch(known ?? this.addSeries(address, conflationKey), conflationKey);
    values.push(value);
    this.bytes += value.json.length;
    if (values.length > this.options.history) this.bytes -= values.shift()?.json.length ?? 0;
    this.evict();
    return true;
  }

  /**
   * Joins in what a store that the nodes share has of one series, oldest first: see {@link mergeStored}. Returns what is
   * newer than all that was known here.
   */
  merge(
    address: { businessType: string; businessId: string },
    stored: readonly StoredValue[],
    sinceArrival: number,
  ): readonly StoredValue[] {
    const [first] = stored;
    if (first === undefined) return [];
    const { conflationKey } = first;
    const series = this.byRecency.get(conflationKey) ?? this.addSeries(address, conflationKey);
    const { values, news } = mergeStored(series.values, stored, sinceArrival);
    this.bytes -= lengthOf(series.values);
    series.values.splice(0, Infinity, ...values.slice(-this.options.history));
    this.bytes += lengthOf(series.values);
    this.touch(series, conflationKey);
    this.evict();
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

  private touch(series: KeptSeries, conflationKey: string): KeptSeries {
    this.byRecency.delete(conflationKey);
    this.byRecency.set(conflationKey, series);
    return series;
  }

  private addSeries(address: KeptSeries['address'], conflationKey: string): KeptSeries {
    const series: KeptSeries = { address, values: [] };
    const ofType = getOrCreate(this.byType, address.businessType, () => new Map<string, SeriesOfId>());
    getOrCreate(ofType, address.businessId, () => new Map<string, KeptSeries>()).set(conflationKey, series);
    return series;
  }

  private evict(): void {
    const { maxSnapshotSeries, maxSnapshotBytes } = this.options;
    for (const [conflationKey, series] of this.byRecency) {
      if (this.byRecency.size <= maxSnapshotSeries && this.bytes <= maxSnapshotBytes) return;
      this.byRecency.delete(conflationKey);
      this.bytes -= lengthOf(series.values);
      this.removeFromType(series.address, conflationKey);
    }
  }

  private removeFromType({ businessType, businessId }: KeptSeries['address'], conflationKey: string): void {
    const ofType = this.byType.get(businessType);
    const ofId = ofType?.get(businessId);
    ofId?.delete(conflationKey);
    if (ofId?.size === 0) ofType?.delete(businessId);
    if (ofType?.size === 0) this.byType.delete(businessType);
  }
}

function isOutdated({ nodeId, sequence }: DatumOrigin, newest: DatumOrigin | undefined): boolean {
  return newest !== undefined && newest.nodeId === nodeId && newest.sequence >= sequence;
}

function lengthOf(values: readonly KeptValue[]): number {
  return values.reduce((length, { json }) => length + json.length, 0);
}

function getOrCreate<K, V>(map: Map<K, V>, key: K, create: () => V): V {
  let value = map.get(key);
  if (value === undefined) {
    value = create();
    map.set(key, value);
  }
  return value;
}
