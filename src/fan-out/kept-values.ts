import type { DatumOrigin } from './datum-origin.js';

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

export interface MergedValues {
  readonly values: readonly KeptValue[];
  /** Those of the store that are newer than all that was known; none where something came live since. */
  readonly news: readonly StoredValue[];
}

/**
 * Joins what is known of a series with what a store has of it, all oldest first. What arrived after `sinceArrival` came
 * live and is newer than what the store has; what is known from before may be out of date. Within one producer its own
 * sequence says what is newer: a store that was put back to an earlier state brings no old value up again.
 */
export function mergeStored(
  known: readonly KeptValue[],
  stored: readonly StoredValue[],
  sinceArrival: number,
): MergedValues {
  const newest = stored.at(-1);
  if (newest === undefined) return { values: known, news: [] };
  const knownNames = new Set(known.map(nameOf));
  const storedNames = new Set(stored.map(nameOf));
  const place = known.findIndex((value) => nameOf(value) === nameOf(newest));
  const isLater = place < 0 ? laterThan(stored, sinceArrival) : (_value: KeptValue, index: number) => index > place;
  const newer = known.filter(isLater);
  const older = known.filter((value, index) => !isLater(value, index) && !storedNames.has(nameOf(value)));
  const lastKnown = stored.findLastIndex((value) => knownNames.has(nameOf(value)));
  return { values: [...older, ...stored, ...newer], news: newer.length > 0 ? [] : stored.slice(lastKnown + 1) };
}

/** Whether a value that is known is newer than all that is stored. */
function laterThan(stored: readonly StoredValue[], sinceArrival: number): (value: KeptValue) => boolean {
  const sequences = new Map(stored.map(({ origin }) => [origin.nodeId, origin.sequence]));
  return ({ origin, arrival = 0 }) => {
    const storedSequence = origin === undefined ? undefined : sequences.get(origin.nodeId);
    if (origin === undefined || storedSequence === undefined) return arrival > sinceArrival;
    return origin.sequence > storedSequence;
  };
}

function nameOf({ origin }: KeptValue): string {
  return `${origin?.nodeId} ${origin?.sequence}`;
}
