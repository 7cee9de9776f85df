import type { Entry } from '../comparison.js';
import type { Contender } from '../contenders.js';
import type { Content } from '../servers/source.js';
import type { Settings } from '../settings.js';

export const SERIES = 100;
export const ONE_KEY: Content = { kind: 'short', keys: 1, series: SERIES };

/** Everybody hears one key, tick after tick. */
export function tickEntry(contender: Contender, dataPerTick: number, { clients }: Settings): Entry {
  return {
    contender,
    crowd: { clients },
    measure: (pair, durationMs) => pair.runTicks(ONE_KEY, dataPerTick, durationMs),
  };
}
