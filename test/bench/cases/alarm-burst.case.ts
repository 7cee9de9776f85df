import { sleep } from '../clock.js';
import { type Contender, wsAdapterLoop } from '../contenders.js';
import { Pair } from '../pair.js';
import { atMost } from '../report.js';
import type { Demand } from '../servers/source.js';
import type { Settings } from '../settings.js';
import { median } from '../statistics.js';
import type { BenchCase } from './bench.case.js';
import { ALARM_PATH, oursOnDisk } from './alarm.contenders.js';

const ALARMS = 1000;
const DEMAND: Demand = { intervalMs: 1, burst: 1 };
const ARRIVAL_DEADLINE_MS = 90_000;
const SETTLING_MS = 300;

interface Burst {
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly cpuMicros: number;
  readonly loadShare: number;
}

interface Outcome {
  readonly bursts: readonly Burst[];
  /** Over all bursts and clients. */
  readonly missing: number;
  readonly outOfOrder: number;
  readonly lost: number;
}

export const alarmBurst: BenchCase = {
  name: 'alarm-burst',
  title: `alarm-burst: ${ALARMS} alarms of 300 bytes in one second to all clients; ours with its log on disk, (a) without`,
  async run(settings) {
    const ours = [oursOnDisk('ours', 'plain'), oursOnDisk('ours, push.v1', 'push.v1')];
    const outcomes = new Map<Contender, Outcome>();
    for (const contender of [...ours, wsAdapterLoop]) outcomes.set(contender, await measure(contender, settings));
    return {
      rows: [...outcomes].map(([{ name }, { bursts, ...faults }]) => ({
        contender: name,
        values: {
          'age p50 ms': median(bursts.map(({ p50Ms }) => p50Ms)),
          'age p99 ms': median(bursts.map(({ p99Ms }) => p99Ms)),
          'highest p99': Math.max(...bursts.map(({ p99Ms }) => p99Ms)),
          'CPU µs/alarm and client': median(bursts.map(({ cpuMicros }) => cpuMicros)),
          'load client': `${Math.round(median(bursts.map(({ loadShare }) => loadShare)) * 100)} %`,
          ...faults,
        },
      })),
      bars: ours.flatMap((contender) => {
        const outcome = outcomes.get(contender);
        return [
          atMost(`${contender.name}: alarms missing or too many, over all clients`, outcome?.missing, 0),
          atMost(`${contender.name}: alarms out of order`, outcome?.outOfOrder, 0),
          atMost(`${contender.name}: clients disconnected`, outcome?.lost, 0),
        ];
      }),
      notes: ['ages count from when an alarm was due until it was read by a client; those of (a) have no bar'],
    };
  },
};

async function measure(contender: Contender, settings: Settings): Promise<Outcome> {
  const isOurs = contender.server.kind === 'ours';
  const crowd = { clients: settings.clients, checksOrder: true, ...(isOurs ? { path: ALARM_PATH } : {}) };
  const pair = await Pair.start(contender, crowd);
  if (typeof pair === 'string') throw new Error(pair);
  const { server, load } = pair;
  const bursts: Burst[] = [];
  let missing = 0;
  for (let round = -1; round < Math.min(settings.rounds, 5); round++) {
    if (round === 0) await pair.profile(settings);
    await server.call('collectGarbage', undefined);
    await load.child.call('collectGarbage', undefined);
    await load.child.call('forgetAges', undefined);
    const before = await load.totals();
    const from = await server.call('readAlarms', undefined);
    await server.call('startAlarms', { kind: 'condition', demand: DEMAND, count: ALARMS });
    await sleep(ALARMS * DEMAND.intervalMs);
    const data = before.data + ALARMS * settings.clients;
    const arrivedMicros = await load.child.call('whenArrived', { data, withinMs: ARRIVAL_DEADLINE_MS });
    const to = await server.call('stopAlarms', undefined);
    // For what would come twice.
    await sleep(SETTLING_MS);
    const after = await load.totals();
    missing += Math.abs(after.data - data) + (to.pushed - from.pushed - ALARMS) * settings.clients;
    const ages = await load.ages({ fromMicros: from.atMicros, toMicros: Infinity });
    // The first runs code that is not warm yet.
    if (round < 0) continue;
    bursts.push({
      p50Ms: ages.p50Ms,
      p99Ms: ages.p99Ms,
      cpuMicros: (to.cpuMicros - from.cpuMicros) / (ALARMS * settings.clients),
      loadShare: (after.cpuMicros - before.cpuMicros) / ((arrivedMicros ?? NaN) - from.atMicros),
    });
  }
  const { outOfOrder, lost } = await load.totals();
  await pair.end();
  return { bursts, missing, outOfOrder, lost };
}
