import { Comparison, type Entry } from '../comparison.js';
import { type Contender, oursWith } from '../contenders.js';
import { LONG_BYTES } from '../datum.js';
import type { Content } from '../servers/source.js';
import type { Settings } from '../settings.js';
import type { BenchCase } from './bench.case.js';
import { SERIES } from './tick.entry.js';

const THRESHOLD_BYTES = 512;
const CONTENT: Content = { kind: 'long', keys: 1, series: SERIES };

const uncompressed = oursWith('ours', {});
const compressed = oursWith(`ours, compression from ${THRESHOLD_BYTES} bytes`, {
  compression: { thresholdBytes: THRESHOLD_BYTES },
});

export const compression: BenchCase = {
  name: 'compression',
  title: 'compression: one datum of 1 KB a tick to all clients, plain and with permessage-deflate',
  async run(settings) {
    const comparison = await Comparison.run(
      [entry(uncompressed, false, settings), entry(compressed, true, settings)],
      settings,
    );
    return {
      rows: comparison.rows(),
      bars: [
        comparison.ratioBar('CPU to uncompressed', compressed, uncompressed, 1.3),
        comparison.ratioBar('bytes to uncompressed', compressed, uncompressed, 0.5, (round) => round.bytesPerDatum),
      ],
      notes: comparison.notes,
    };
  },
};

function entry(contender: Contender, isCompressed: boolean, { clients }: Settings): Entry {
  return {
    contender,
    crowd: { clients, isCompressed },
    async measure(pair, durationMs) {
      const round = await pair.runTicks(CONTENT, 1, durationMs);
      const { data, compressedData } = await pair.load.totals();
      if (isCompressed) {
        const length = await pair.load.child.call('inflatedLength', undefined);
        if (compressedData !== data) throw new Error(`${compressedData} of ${data} data came compressed`);
        if (length !== LONG_BYTES) throw new Error(`a compressed datum inflates to ${length} bytes`);
      }
      return round;
    },
  };
}
