import type { DatumOrigin } from './datum-origin.js';
import { ANY_BUSINESS_ID, type KeyAddress } from '../protocol/messages.js';

export interface LastValuesOptions {
  /** Values kept of each series. */
  readonly history: number;
  /** Series kept; over it the least recently pushed one goes. */
  readonly maxSeries: number;
  /** Length of all JSON kept, in UTF-16 units; over it the least recently pushed series go. */
  readonly maxBytes: number;
}

/** A value as it was pushed. */
export interface KeptValue {
  readonly json: string;
  readonly conflationKey: string;
  /** Absent where there is one node only. */
  readonly origin?: DatumOrigin | undefined;
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

  constructor(private readonly options: LastValuesOptions) {}

  get seriesCount(): number {
    return this.byRecency.size;
  }

  get byteLength(): number {
    return this.bytes;
  }

  keep(address: { businessType: string; businessId: string }, value: KeptValue): void {
    const { conflationKey } = value;
    const series = this.byRecency.get(conflationKey) ?? this.addSeries(address, conflationKey);
    this.byRecency.delete(conflationKey);
    this.byRecency.set(conflationKey, series);
    series.values.push(value);
    this.bytes += value.json.length;
    if (series.values.length > this.options.history) this.bytes -= series.values.shift()?.json.length ?? 0;
    this.evict();
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

  private addSeries(address: KeptSeries['address'], conflationKey: string): KeptSeries {
    const series: KeptSeries = { address, values: [] };
    const ofType = getOrCreate(this.byType, address.businessType, () => new Map<string, SeriesOfId>());
    getOrCreate(ofType, address.businessId, () => new Map<string, KeptSeries>()).set(conflationKey, series);
    return series;
  }

  private evict(): void {
    const { maxSeries, maxBytes } = this.options;
    for (const [conflationKey, series] of this.byRecency) {
      if (this.byRecency.size <= maxSeries && this.bytes <= maxBytes) return;
      this.byRecency.delete(conflationKey);
      for (const { json } of series.values) this.bytes -= json.length;
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

function getOrCreate<K, V>(map: Map<K, V>, key: K, create: () => V): V {
  let value = map.get(key);
  if (value === undefined) {
    value = create();
    map.set(key, value);
  }
  return value;
}
