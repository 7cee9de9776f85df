/** What the sources push. Every number has a fixed width, so that all data of one kind are equally long. */
export interface Datum {
  businessType: string;
  businessId: string;
  series: string;
  at: number;
  n: number;
  [field: string]: unknown;
}

export interface DatumPlace {
  readonly key: number;
  readonly series: number;
  readonly n: number;
  /** When the source wanted it pushed, see {@link nowMicros}. */
  readonly atMicros: number;
}

export type DatumKind = 'short' | 'long';

export const SHORT_BYTES = 200;
export const LONG_BYTES = 1024;
export const BUSINESS_TYPE = 'meter';
export const AT_DIGITS = 16;
export const N_DIGITS = 9;
export const SERIES_DIGITS = 3;
export const AT_BASE = 10 ** (AT_DIGITS - 1);
export const N_BASE = 10 ** (N_DIGITS - 1);

const LONG_READINGS = 21;

/** 200 bytes of JSON, or 1 KB as a meter with many readings sends it. */
export function createDatum(kind: DatumKind, place: DatumPlace): Datum {
  return kind === 'short' ? createShort(place, shortPadding) : createLong(place, longPadding);
}

export function keyName(key: number): string {
  return `k${String(key).padStart(3, '0')}`;
}

function createShort({ key, series, n, atMicros }: DatumPlace, note: string): Datum {
  return {
    businessType: BUSINESS_TYPE,
    businessId: keyName(key),
    series: seriesName(series),
    at: AT_BASE + Math.floor(atMicros),
    n: N_BASE + n,
    value: sixDigits(n),
    unit: 'kWh',
    quality: 'good',
    isEstimated: false,
    note,
  };
}

function createLong(place: DatumPlace, note: string): Datum {
  const readings = Array.from({ length: LONG_READINGS }, (_, index) => ({
    channel: `phase-${String(index).padStart(2, '0')}`,
    value: sixDigits(place.n * LONG_READINGS + index),
  }));
  return { ...createShort(place, note), readings };
}

function seriesName(series: number): string {
  return `s${String(series).padStart(SERIES_DIGITS, '0')}`;
}

/** Looks random, as the low digits of measured values do, and is the same in every run. */
function sixDigits(n: number): number {
  return 100_000 + ((Math.imul(n + 1, 2_654_435_761) >>> 0) % 900_000);
}

function paddingTo(bytes: number, create: (place: DatumPlace, note: string) => Datum): string {
  const bare = JSON.stringify(create({ key: 0, series: 0, n: 0, atMicros: 0 }, '')).length;
  if (bare > bytes) throw new Error(`the datum is ${bare} bytes long without its padding`);
  return 'as read '.repeat(bytes).slice(0, bytes - bare);
}

const shortPadding = paddingTo(SHORT_BYTES, createShort);
const longPadding = paddingTo(LONG_BYTES, createLong);
