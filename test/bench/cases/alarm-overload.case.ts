import { sleep } from '../clock.js';
import type { Contender } from '../contenders.js';
import { cpuBetween, Load, Pair } from '../pair.js';
import { atMost, type Row } from '../report.js';
import type { Demand } from '../servers/source.js';
import type { Settings } from '../settings.js';
import type { BenchCase } from './bench.case.js';
import { ALARM_PATH, oursOnDisk } from './alarm.contenders.js';
import { measureCapacity, TIMES_CAPACITY } from './overload.case.js';
import { ONE_KEY, SERIES } from './tick.entry.js';

const ALARMS_A_SECOND = 10;
const ALARM_DEMAND: Demand = { intervalMs: 1000 / ALARMS_A_SECOND, burst: 1 };
const SETTLING_MS = 3000;

interface Outcome {
  readonly row: Row;
  readonly alarmAgeP99Ms: number;
  readonly wrong: number;
}

export const alarmOverload: BenchCase = {
  name: 'alarm-overload',
  title: `alarm-overload: ${ALARMS_A_SECOND} alarms a second to all alarm clients while raw data overload the node`,
  async run(settings) {
    const capacity = await measureCapacity(settings);
    const perSecond = TIMES_CAPACITY * capacity;
    const contenders = [oursOnDisk('ours', 'plain'), oursOnDisk('ours, push.v1', 'push.v1')];
    const outcomes: { contender: Contender; outcome: Outcome }[] = [];
    for (const contender of contenders) {
      outcomes.push({ contender, outcome: await measure(contender, perSecond, settings) });
    }
    return {
      rows: outcomes.map(({ outcome }) => outcome.row),
      bars: outcomes.flatMap(({ contender: { name }, outcome }) => [
        atMost(`${name}: age p99 of alarms`, outcome.alarmAgeP99Ms, 250, ' ms'),
        atMost(`${name}: alarms missing, too many or out of order`, outcome.wrong, 0),
      ]),
      notes: [
        `${settings.clients} raw-data clients at ${Math.round(perSecond)} data a second and ${settings.clients} alarm clients; ` +
          'each kind in a process of its own, beside that of the node',
      ],
    };
  },
};

async function measure(contender: Contender, perSecond: number, settings: Settings): Promise<Outcome> {
  const { clients } = settings;
  const pair = await Pair.start(contender, { clients, series: SERIES });
  if (typeof pair === 'string') throw new Error(pair);
  const { server, load } = pair;
  await pair.runTicks(ONE_KEY, 1, settings.roundMs);
  const operators = new Load();
  await operators.connect(contender, pair.port, { clients, path: ALARM_PATH, checksOrder: true });
  await pair.profile(settings);
  const countedMs = settings.isQuick ? 4000 : 30_000;
  await server.call('collectGarbage', undefined);
  await load.child.call('forgetAges', undefined);
  await server.call('startAlarms', { kind: 'condition', demand: ALARM_DEMAND });
  await server.call('startDemand', { content: ONE_KEY, demand: { intervalMs: 1000 / perSecond, burst: 1 } });
  await sleep(countedMs / 3);
  const from = await server.call('read', undefined);
  const before = await load.totals();
  await sleep(countedMs);
  const to = await server.call('read', undefined);
  const after = await load.totals();
  const { pushed } = await server.call('stopAlarms', undefined);
  await server.call('stopDemand', undefined);
  const range = { fromMicros: from.atMicros, toMicros: to.atMicros };
  const accepted = await server.call('acceptanceAges', { ...range, sliceMs: 1000 });
  const alarms = await operators.ages(range);
  const raw = await load.ages(range);
  await sleep(SETTLING_MS);
  const { data, outOfOrder, lost } = await operators.totals();
  await Promise.all([pair.end(), operators.child.end()]);

  const seconds = (to.atMicros - from.atMicros) / 1e6;
  const row: Row = {
    contender: contender.name,
    values: {
      alarms: alarms.count,
      'age p50 ms': alarms.p50Ms,
      'age p99 ms': alarms.p99Ms,
      'worst second': alarms.worstSliceP99Ms,
      'accepted p99 ms': accepted.p99Ms,
      'raw age p99 ms': raw.p99Ms,
      'raw data/s': (after.data - before.data) / seconds,
      'server CPU': `${Math.round((cpuBetween(from, to) / seconds / 1e6) * 100)} %`,
    },
  };
  return { row, alarmAgeP99Ms: alarms.p99Ms, wrong: Math.abs(data - pushed * clients) + outOfOrder + lost };
}
