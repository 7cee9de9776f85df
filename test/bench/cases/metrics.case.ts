import { Comparison } from '../comparison.js';
import { type Contender, ours } from '../contenders.js';
import type { BenchCase } from './bench.case.js';
import { tickEntry } from './tick.entry.js';

const DATA_A_TICK = 20;

const oursAgain: Contender = { ...ours, name: 'ours, once more' };
const oursMeasured: Contender = {
  ...ours,
  name: 'ours, with the SDK, scraped every second',
  server: { kind: 'ours', isMeasured: true },
};

export const metrics: BenchCase = {
  name: 'metrics',
  title: `metrics: B20 without and with OpenTelemetry's SDK`,
  async run(settings) {
    const comparison = await Comparison.run(
      [ours, oursMeasured, oursAgain].map((contender) => tickEntry(contender, DATA_A_TICK, settings)),
      settings,
    );
    const noise = comparison.ratio(oursAgain, ours);
    return {
      rows: comparison.rows(),
      bars: [comparison.ratioBar('CPU with the SDK to without', oursMeasured, ours, 1.05)],
      notes: [...comparison.notes, `the same without the SDK twice: ${noise?.toFixed(3)} ×, which is the noise here`],
    };
  },
};
