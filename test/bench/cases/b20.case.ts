import { Comparison } from '../comparison.js';
import { ours, oursPushV1, rawSockets, rawSocketsJoined, socketIo, uWebSockets, wsAdapterLoop } from '../contenders.js';
import type { BenchCase } from './bench.case.js';
import { tickEntry } from './tick.entry.js';

const DATA_A_TICK = 20;

export const b20: BenchCase = {
  name: 'b20',
  title: 'B20: 20 data of 200 bytes in one tick to all clients of one key',
  async run(settings) {
    const contenders = [ours, oursPushV1, wsAdapterLoop, socketIo, rawSockets, rawSocketsJoined, uWebSockets];
    const comparison = await Comparison.run(
      contenders.map((contender) => tickEntry(contender, DATA_A_TICK, settings)),
      settings,
    );
    return {
      rows: comparison.rows(),
      bars: [
        comparison.ratioBar("CPU to the joined floor (c')", ours, rawSocketsJoined, 1.2),
        comparison.ratioBar('CPU to (a)', ours, wsAdapterLoop, 0.06),
        comparison.ratioBar('CPU to (b)', ours, socketIo, 0.07),
        comparison.ratioBar('CPU to (d)', ours, uWebSockets, 1.4),
      ],
      notes: comparison.notes,
    };
  },
};
