import { MEGABYTE, sleep } from '../clock.js';
import { type Contender, ours, oursPushV1, socketIo, uWebSockets, wsAdapterLoop } from '../contenders.js';
import { cpuBetween, Pair } from '../pair.js';
import { atMost, type Bar, type Row } from '../report.js';
import type { Demand } from '../servers/source.js';
import type { Settings } from '../settings.js';
import type { BenchCase } from './bench.case.js';
import { ONE_KEY, SERIES } from './tick.entry.js';

export const TIMES_CAPACITY = 4;
const CALIBRATION_DATA_A_TICK = 5;
const ARRIVAL_DEADLINE_MS = 60_000;

/** How one contender stood the demand. */
interface Outcome {
  readonly row: Row;
  readonly worstAgeP99Ms: number;
  readonly rssGrowthMegabytes: number;
  readonly lost: number;
  /** (client, series) without the final value. */
  readonly wrongValues: number;
}

export const overload: BenchCase = {
  name: 'overload',
  title: `overload: ${TIMES_CAPACITY} times what (a) can deliver, ${SERIES} series`,
  async run(settings) {
    const capacity = await measureCapacity(settings);
    const perSecond = TIMES_CAPACITY * capacity;
    const demand: Demand = { intervalMs: 1000 / perSecond, burst: 1 };
    const outcomes = new Map<Contender, Outcome>();
    const notes = [
      `(a) can deliver ${Math.round(capacity)} data a second to each of ${settings.clients} clients, ` +
        `the demand is ${Math.round(perSecond)}; ages count from when a datum was due`,
    ];
    for (const contender of [ours, oursPushV1, wsAdapterLoop, socketIo, uWebSockets]) {
      const outcome = await stand(contender, demand, settings);
      if (typeof outcome === 'string') notes.push(`${contender.name} skipped: ${outcome}`);
      else outcomes.set(contender, outcome);
    }
    return {
      rows: [...outcomes.values()].map(({ row }) => row),
      bars: [ours, oursPushV1].flatMap((contender) => barsOf(contender.name, outcomes.get(contender))),
      notes,
    };
  },
};

function barsOf(name: string, outcome: Outcome | undefined): Bar[] {
  return [
    atMost(`${name}: age p99 in its worst second`, outcome?.worstAgeP99Ms, 250, ' ms'),
    atMost(`${name}: RSS growth at its highest`, outcome?.rssGrowthMegabytes, 64, ' MB'),
    atMost(`${name}: clients disconnected`, outcome?.lost, 0),
    atMost(`${name}: series without their final value, over all clients`, outcome?.wrongValues, 0),
  ];
}

/** Data a second to each client that the loop can deliver with a core of its own, however busy the machine is now. */
export async function measureCapacity(settings: Settings): Promise<number> {
  const pair = await startPair(wsAdapterLoop, settings);
  if (typeof pair === 'string') throw new Error(pair);
  await pair.runTicks(ONE_KEY, CALIBRATION_DATA_A_TICK, settings.roundMs);
  const { cpuMicrosPerDatum } = await pair.runTicks(ONE_KEY, CALIBRATION_DATA_A_TICK, settings.roundMs);
  await pair.end();
  return 1e6 / cpuMicrosPerDatum / settings.clients;
}

async function stand(contender: Contender, demand: Demand, settings: Settings): Promise<Outcome | string> {
  const pair = await startPair(contender, settings);
  if (typeof pair === 'string') return pair;
  await pair.runTicks(ONE_KEY, 1, settings.roundMs);
  await pair.profile(settings);
  const { server, load } = pair;
  const countedMs = settings.isQuick ? 4000 : 30_000;
  const lostBefore = (await load.totals()).lost;
  await server.call('collectGarbage', undefined);
  await load.child.call('forgetAges', undefined);
  await server.call('watchRss', undefined);
  await server.call('startDemand', { content: ONE_KEY, demand });
  await sleep(countedMs / 3);
  const from = await server.call('read', undefined);
  const before = await load.totals();
  await sleep(countedMs);
  const to = await server.call('read', undefined);
  const after = await load.totals();
  const { newest } = await server.call('stopDemand', undefined);
  await load.child.call('whenCaughtUp', { expected: newest, withinMs: ARRIVAL_DEADLINE_MS });
  const wrongValues = await load.child.call('countWrongValues', { expected: newest });
  const ages = await load.ages({ fromMicros: from.atMicros, toMicros: to.atMicros });
  const rss = await server.call('rssReport', undefined);
  const { lost } = await load.totals();
  await pair.end();

  const seconds = (to.atMicros - from.atMicros) / 1e6;
  const delivered = after.data - before.data;
  const rssGrowthMegabytes = (rss.highestBytes - rss.beforeBytes) / MEGABYTE;
  const row: Row = {
    contender: contender.name,
    values: {
      'CPU µs/datum': cpuBetween(from, to) / delivered,
      'pushed/s': (to.pushed - from.pushed) / seconds,
      'data/s': delivered / seconds,
      'age p50 ms': ages.p50Ms,
      'age p99 ms': ages.p99Ms,
      'worst second': ages.worstSliceP99Ms,
      'RSS + MB': rssGrowthMegabytes,
      disconnected: lost - lostBefore,
      'wrong final': wrongValues,
      'server CPU': share(cpuBetween(from, to), seconds),
      'load client': share(after.cpuMicros - before.cpuMicros, seconds),
    },
  };
  return { row, worstAgeP99Ms: ages.worstSliceP99Ms, rssGrowthMegabytes, lost: lost - lostBefore, wrongValues };
}

function startPair(contender: Contender, settings: Settings): Promise<Pair | string> {
  return Pair.start(contender, { clients: settings.clients, series: SERIES });
}

function share(cpuMicros: number, seconds: number): string {
  return `${Math.round((cpuMicros / seconds / 1e6) * 100)} %`;
}
