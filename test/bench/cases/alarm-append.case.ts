import type { AlarmKind } from '../alarm.js';
import type { Child } from '../child.js';
import { startServer } from '../pair.js';
import { atLeast, atMost, type Row } from '../report.js';
import type { AlarmReading } from '../servers/alarm.source.js';
import type { SyncTimes } from '../servers/disk.js';
import type { ServerApi } from '../servers/server.api.js';
import type { Settings } from '../settings.js';
import { median } from '../statistics.js';
import { sleep } from '../clock.js';
import { formatValue } from '../table.js';
import { createTemporaryFolder } from '../temporary.folder.js';
import type { BenchCase } from './bench.case.js';
import { oursOnDisk } from './alarm.contenders.js';

/** Of the options' default: every append of a long-lived node removes as many as it adds. */
const RETENTION = 100_000;
const CALLERS = 1000;
const FEW_CALLERS = 100;
const PACED_A_SECOND = 1000;

interface Flood {
  readonly name: string;
  readonly kind: AlarmKind;
  readonly callers: number;
}

const floods: readonly Flood[] = [
  { name: `${CALLERS} callers`, kind: 'bare', callers: CALLERS },
  { name: `${CALLERS} callers, with eventId`, kind: 'eventId', callers: CALLERS },
  { name: `${CALLERS} callers, with eventId and conditionId`, kind: 'condition', callers: CALLERS },
  { name: `${FEW_CALLERS} callers`, kind: 'bare', callers: FEW_CALLERS },
];

export const alarmAppend: BenchCase = {
  name: 'alarm-append',
  title: `alarm-append: pushAlarm, alarms of 300 bytes, log on disk with its retention of ${RETENTION} used up`,
  async run(settings) {
    const rows: Row[] = [];
    const perSecond = new Map<Flood, number>();
    for (const flood of floods) {
      const row = await measureFlood(flood, settings);
      perSecond.set(flood, row['alarms/s']);
      rows.push({ contender: flood.name, values: row });
    }
    const sync = await measureDisk();
    const paced = await measurePaced(settings);
    rows.push({ contender: `at ${PACED_A_SECOND} a second`, values: paced });
    return {
      rows,
      bars: [
        ...floods
          .slice(0, 3)
          .map((flood) => atLeast(`accepted alarms, ${flood.name}`, perSecond.get(flood), 20_000, '/s')),
        atMost(`age p99 when accepted, at ${PACED_A_SECOND} a second`, paced['age p99 ms'], 20, ' ms'),
      ],
      notes: [`disk: a page is written and synced in ${formatValue(sync.p50Ms)} ms, p99 ${formatValue(sync.p99Ms)} ms`],
    };
  },
};

async function measureFlood({ name, kind, callers }: Flood, settings: Settings) {
  const server = await startFilled(name, kind);
  const stretches: { perSecond: number; cpuMicros: number }[] = [];
  for (let round = -1; round < settings.rounds; round++) {
    await server.call('collectGarbage', undefined);
    const measureMs = settings.roundMs * 0.75;
    const stretch = await server.call('floodAlarms', { kind, callers, warmUpMs: settings.roundMs / 4, measureMs });
    // The first runs code that is not warm yet.
    if (round >= 0) stretches.push(ratesOf(stretch));
  }
  await server.end();
  return {
    'alarms/s': median(stretches.map(({ perSecond }) => perSecond)),
    'CPU µs/alarm': median(stretches.map(({ cpuMicros }) => cpuMicros)),
  };
}

async function measurePaced(settings: Settings) {
  const server = await startFilled('paced', 'bare');
  const demand = { intervalMs: 1000 / PACED_A_SECOND, burst: 1 };
  await server.call('startAlarms', { kind: 'bare', demand });
  await sleep(settings.roundMs);
  const from = await server.call('readAlarms', undefined);
  await sleep(settings.roundMs * settings.rounds);
  const to = await server.call('readAlarms', undefined);
  await server.call('stopAlarms', undefined);
  const range = { fromMicros: from.atMicros, toMicros: to.atMicros };
  const ages = await server.call('acceptanceAges', { ...range, sliceMs: 1000 });
  await server.end();
  const { perSecond, cpuMicros } = ratesOf({ from, to });
  return {
    'alarms/s': perSecond,
    'CPU µs/alarm': cpuMicros,
    'age p50 ms': ages.p50Ms,
    'age p99 ms': ages.p99Ms,
    'worst second': ages.worstSliceP99Ms,
  };
}

async function startFilled(name: string, kind: AlarmKind): Promise<Child<ServerApi>> {
  const contender = oursOnDisk(name, 'plain', { alarmRetention: RETENTION });
  const server = startServer(contender);
  await server.call('listen', contender.server);
  await server.call('fillLog', { kind, alarms: RETENTION });
  return server;
}

async function measureDisk(): Promise<SyncTimes> {
  const server = startServer(oursOnDisk('disk', 'plain'));
  const times = await server.call('measureSync', createTemporaryFolder());
  await server.end();
  return times;
}

function ratesOf({ from, to }: { from: AlarmReading; to: AlarmReading }) {
  const accepted = to.accepted - from.accepted;
  return {
    perSecond: (accepted / (to.atMicros - from.atMicros)) * 1e6,
    cpuMicros: (to.cpuMicros - from.cpuMicros) / accepted,
  };
}
