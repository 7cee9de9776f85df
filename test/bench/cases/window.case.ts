import { Comparison, type Entry } from '../comparison.js';
import { type Contender, ours, oursWith, rawSockets, uWebSockets } from '../contenders.js';
import { atMost } from '../report.js';
import type { Demand } from '../servers/source.js';
import type { BenchCase } from './bench.case.js';
import { ONE_KEY, tickEntry } from './tick.entry.js';

const FLUSH_INTERVAL_MS = 100;
const FIFTY_A_SECOND: Demand = { intervalMs: 20, burst: 1 };

const oursInWindows = oursWith(`ours, flushIntervalMs ${FLUSH_INTERVAL_MS}`, { flushIntervalMs: FLUSH_INTERVAL_MS });
const ownB1: Contender = { ...ours, name: 'ours, B1' };

export const flushWindow: BenchCase = {
  name: 'window',
  title: `window: 50 data of 200 bytes a second to all clients, flushIntervalMs ${FLUSH_INTERVAL_MS}`,
  async run(settings) {
    const atFiftyASecond = (contender: Contender): Entry => ({
      contender,
      crowd: { clients: settings.clients },
      measure: (pair, durationMs) => pair.runDemand(ONE_KEY, FIFTY_A_SECOND, durationMs),
    });
    const comparison = await Comparison.run(
      [
        atFiftyASecond(oursInWindows),
        tickEntry(ownB1, 1, settings),
        atFiftyASecond(rawSockets),
        atFiftyASecond(uWebSockets),
      ],
      settings,
    );
    return {
      rows: comparison.rows(),
      bars: [
        comparison.ratioBar('CPU to our own B1', oursInWindows, ownB1, 0.4),
        comparison.ratioBar('CPU to (d)', oursInWindows, uWebSockets, 0.5),
        atMost(
          'age p99',
          comparison.median(oursInWindows, ({ ages }) => ages.p99Ms),
          150,
          ' ms',
        ),
      ],
      notes: comparison.notes,
    };
  },
};
