import { Comparison, type Entry } from '../comparison.js';
import { type Contender, ours, oursWith } from '../contenders.js';
import { keyName } from '../datum.js';
import type { Content, Demand } from '../servers/source.js';
import { seededRandom } from '../statistics.js';
import type { BenchCase } from './bench.case.js';

const KEYS = 200;
const KEYS_A_CLIENT = 20;
const PUSHES_A_SECOND = 5;
const CONTENT: Content = { kind: 'short', keys: KEYS, series: KEYS };
const ALL_KEYS_AT_ONCE: Demand = { intervalMs: 1000 / PUSHES_A_SECOND, burst: KEYS };
const ONE_KEY_AFTER_THE_OTHER: Demand = { intervalMs: 1000 / PUSHES_A_SECOND / KEYS, burst: 1 };

const oursSubscribed: Contender = { ...ours, name: 'ours', dialect: 'push.v1' };
const oursSpread = oursWith('ours, keys spread evenly, flushIntervalMs 200', { flushIntervalMs: 200 }, 'push.v1');
const loopWithSets: Contender = {
  name: '(a) WsAdapter, send in a loop with a Set for each client',
  server: { kind: 'ws-adapter', isFiltered: true },
  dialect: 'plain',
};

export const mixed: BenchCase = {
  name: 'mixed',
  title: `mixed: each client its own ${KEYS_A_CLIENT} of ${KEYS} keys, all keys pushed ${PUSHES_A_SECOND} times a second`,
  async run(settings) {
    const entry = (contender: Contender, demand: Demand): Entry => ({
      contender,
      crowd: { clients: settings.clients, subscriptionsOf: chooseKeys },
      measure: (pair, durationMs) => pair.runDemand(CONTENT, demand, durationMs),
    });
    const comparison = await Comparison.run(
      [
        entry(oursSubscribed, ALL_KEYS_AT_ONCE),
        entry(loopWithSets, ALL_KEYS_AT_ONCE),
        entry(oursSpread, ONE_KEY_AFTER_THE_OTHER),
      ],
      settings,
    );
    return {
      rows: comparison.rows(),
      bars: [comparison.ratioBar('CPU to (a)', oursSubscribed, loopWithSets, 0.15)],
      notes: comparison.notes,
    };
  },
};

/** The same for a client in every run and for every contender, and different from client to client. */
function chooseKeys(index: number): string[] {
  const random = seededRandom(index);
  const chosen = new Set<number>();
  while (chosen.size < KEYS_A_CLIENT) chosen.add(Math.floor(random() * KEYS));
  return [...chosen].map(keyName);
}
