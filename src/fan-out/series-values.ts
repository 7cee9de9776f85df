import type { DatumOrigin } from './datum-origin.js';
import type { Linked } from './recency.list.js';

/** A value as it was pushed. */
export interface KeptValue {
  readonly json: string;
  readonly conflationKey: string;
  /** Absent where there is one node only. */
  readonly origin?: DatumOrigin | undefined;
  /** The how-manieth to arrive here; of a value that came live and has an origin. */
  arrival?: number;
}

/** A value as a store that the nodes share has it. */
export interface StoredValue extends KeptValue {
  readonly origin: DatumOrigin;
}

/** Producers of one series whose last sequence is remembered beside the newest value's; the oldest one goes. */
const MAX_OTHER_PRODUCERS = 16;

/** The last values of one series, oldest first, and how far each producer of it has been heard. */
export class SeriesValues implements Linked<SeriesValues> {
  private kept: KeptValue[] = [];
  private keptLength = 0;
  /** Last sequence by nodeId; most series have one producer, and that one's stands beside the newest value. */
  private others: Map<string, number> | undefined;
  older: SeriesValues | undefined;
  newer: SeriesValues | undefined;

  constructor(
    readonly address: { readonly businessType: string; readonly businessId: string },
    readonly conflationKey: string,
    private readonly history: number,
  ) {}

  get values(): readonly KeptValue[] {
    return this.kept;
  }

  /** Length of all JSON, in UTF-16 units. */
  get length(): number {
    return this.keptLength;
  }

  /** Whether this value of its producer, or a newer one, was kept before. */
  hasHeard({ nodeId, sequence }: DatumOrigin): boolean {
    const newest = this.kept.at(-1)?.origin;
    if (newest?.nodeId === nodeId && newest.sequence >= sequence) return true;
    const last = this.others?.get(nodeId);
    return last !== undefined && last >= sequence;
  }

  push(value: KeptValue): void {
    const newest = this.kept.at(-1)?.origin;
    if (newest !== undefined && newest.nodeId !== value.origin?.nodeId) this.remember(newest);
    this.kept.push(value);
    this.keptLength += value.json.length;
    if (this.kept.length > this.history) this.keptLength -= this.kept.shift()?.json.length ?? 0;
  }

  /**
   * Joins in what a store has of the series, oldest first. It was read after `sinceArrival`, when all that was sent already
   * arrived here: what is known from before may be out of date, what arrived since is not. Within one producer its own
   * sequence says what is newer: a store that was put back to an earlier state brings no old value up again. Returns what is
   * newer than all that was known; nothing where something newer has come.
   */
  merge(stored: readonly StoredValue[], sinceArrival: number): readonly StoredValue[] {
    const known = this.kept;
    const knownNames = new Set(known.map(nameOf));
    // What the store ends with, was heard and is not kept any more is older than what is.
    const end = stored.findLastIndex((value) => knownNames.has(nameOf(value)) || !this.hasHeard(value.origin)) + 1;
    if (end === 0) {
      this.replace(withHistory(known, stored));
      return [];
    }
    const current = stored.slice(0, end);
    const isOnlyHere = isMissingIn(current);
    const isLater = laterThan(current, known, sinceArrival);
    const older = known.filter((value, index) => isOnlyHere(value) && !isLater(value, index));
    const newer = known.filter((value, index) => isOnlyHere(value) && isLater(value, index));
    const news =
      newer.length > 0 ? [] : current.slice(current.findLastIndex(({ origin }) => this.hasHeard(origin)) + 1);
    for (const { origin } of [...known, ...current]) if (origin !== undefined) this.remember(origin);
    this.replace([...older, ...current, ...newer]);
    return news;
  }

  private replace(values: readonly KeptValue[]): void {
    this.kept = values.slice(-this.history);
    this.keptLength = this.kept.reduce((length, { json }) => length + json.length, 0);
    const newest = this.kept.at(-1)?.origin;
    if (newest !== undefined && (this.others?.get(newest.nodeId) ?? 0) <= newest.sequence) {
      this.others?.delete(newest.nodeId);
    }
    if (this.others?.size === 0) this.others = undefined;
  }

  private remember(origin: DatumOrigin): void {
    const last = this.others?.get(origin.nodeId) ?? -1;
    if (last >= origin.sequence) return;
    this.others ??= new Map();
    this.others.set(origin.nodeId, origin.sequence);
    if (this.others.size <= MAX_OTHER_PRODUCERS) return;
    const [oldest] = this.others.keys();
    if (oldest !== undefined) this.others.delete(oldest);
  }
}

/**
 * Whether a value that is known, and not stored, is newer than all that is stored: by its producer's sequence, by its place
 * among what is known and stored, or by its arrival. Where nothing that is stored has arrived, all of it was sent before this
 * node could hear it.
 */
function laterThan(
  stored: readonly StoredValue[],
  known: readonly KeptValue[],
  sinceArrival: number,
): (value: KeptValue, index: number) => boolean {
  const isOnlyKnown = isMissingIn(stored);
  const lastShared = known.findLastIndex((value) => !isOnlyKnown(value));
  const sequences = new Map(stored.map(({ origin }) => [origin.nodeId, origin.sequence]));
  return ({ origin, arrival = 0 }, index) => {
    const storedSequence = origin === undefined ? undefined : sequences.get(origin.nodeId);
    if (origin !== undefined && storedSequence !== undefined) return origin.sequence > storedSequence;
    return lastShared >= 0 ? index > lastShared : arrival > sinceArrival;
  };
}

/** Puts what is older than what is known of its producer in its place. */
function withHistory(known: readonly KeptValue[], stored: readonly StoredValue[]): KeptValue[] {
  const values = [...known];
  for (const value of stored) {
    const { nodeId, sequence } = value.origin;
    const place = values.findIndex(({ origin }) => origin?.nodeId === nodeId && origin.sequence > sequence);
    if (place >= 0) values.splice(place, 0, value);
  }
  return values;
}

function isMissingIn(stored: readonly StoredValue[]): (value: KeptValue) => boolean {
  const names = new Set(stored.map(nameOf));
  return (value) => !names.has(nameOf(value));
}

function nameOf({ origin }: KeptValue): string {
  return `${origin?.nodeId} ${origin?.sequence}`;
}
