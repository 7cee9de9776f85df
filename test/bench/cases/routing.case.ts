import { Child } from '../child.js';
import { atMost } from '../report.js';
import type { RoutingApi } from '../routing.api.js';
import type { Settings } from '../settings.js';
import { median, medianRatio } from '../statistics.js';
import type { BenchCase } from './bench.case.js';

const RUNS = 11;
const MATCHING = 100;
const CONNECTED = [100, 10_000] as const;

export const routing: BenchCase = {
  name: 'routing',
  title: `routing: ${MATCHING} matching clients among ${CONNECTED.join(' and among ')}, in memory`,
  async run({ isQuick }: Settings) {
    const pushes = isQuick ? 200 : 2000;
    const process = new Child<RoutingApi>(new URL('../routing.process.js', import.meta.url), 'routing');
    const populations: { connected: number; id: number; micros: number[] }[] = [];
    for (const connected of CONNECTED) {
      const id = await process.call('prepare', { matching: MATCHING, connected });
      populations.push({ connected, id, micros: [] });
    }
    for (let run = -2; run < RUNS; run++) {
      for (const { id, micros } of populations) {
        const measured = await process.call('measure', { population: id, pushes });
        // The first ones run code that is not warm yet.
        if (run >= 0) micros.push(measured);
      }
    }
    await process.end();
    const [few, many] = populations.map(({ micros }) => micros);
    return {
      rows: populations.map(({ connected, micros }) => ({
        contender: `${MATCHING} among ${connected}`,
        values: { 'CPU µs/push': median(micros), lowest: Math.min(...micros), highest: Math.max(...micros) },
      })),
      bars: [
        atMost(
          `CPU a push among ${CONNECTED[1]} to among ${CONNECTED[0]}, median of ${RUNS} runs`,
          medianRatio(many ?? [], few ?? []),
          1.2,
          ' ×',
        ),
      ],
      notes: [],
    };
  },
};
