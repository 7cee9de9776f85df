import { Comparison } from '../comparison.js';
import { ours, oursPushV1, rawSockets, socketIo, uWebSockets, wsAdapterLoop } from '../contenders.js';
import type { BenchCase } from './bench.case.js';
import { tickEntry } from './tick.entry.js';

export const b1: BenchCase = {
  name: 'b1',
  title: 'B1: one 200-byte datum a tick to all clients of one key',
  async run(settings) {
    const contenders = [ours, oursPushV1, wsAdapterLoop, socketIo, rawSockets, uWebSockets];
    const comparison = await Comparison.run(
      contenders.map((contender) => tickEntry(contender, 1, settings)),
      settings,
    );
    return {
      rows: comparison.rows(),
      bars: [
        comparison.ratioBar('CPU to the floor (c)', ours, rawSockets, 1.05),
        comparison.ratioBar('CPU to (a)', ours, wsAdapterLoop, 0.7),
        comparison.ratioBar('CPU to (d)', ours, uWebSockets, 1.3),
      ],
      notes: comparison.notes,
    };
  },
};
