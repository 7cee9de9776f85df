import { collectGarbage, nowMicros } from '../clock.js';
import { Load, startServer } from '../pair.js';
import { atLeast, atMost, type CaseReport } from '../report.js';
import type { Settings } from '../settings.js';
import { median } from '../statistics.js';
import type { BenchCase } from './bench.case.js';
import { ALARM_PATH, oursOnDisk } from './alarm.contenders.js';

const ALARMS = 100_000;
const DEADLINE_MS = 60_000;

export const alarmReplay: BenchCase = {
  name: 'alarm-replay',
  title: `alarm-replay: ${ALARMS} alarms of 300 bytes from the log on disk to one client, ?replay=all on push.v1`,
  run,
};

async function run(settings: Settings): Promise<CaseReport> {
  const contender = oursOnDisk('ours, push.v1', 'push.v1', { alarmRetention: 2 * ALARMS });
  const server = startServer(contender);
  const listening = await server.call('listen', contender.server);
  if ('skipped' in listening) throw new Error(listening.skipped);
  await server.call('fillLog', { kind: 'condition', alarms: ALARMS });
  const load = new Load();
  // What is waited for here is the client: one that looks once a millisecond would be the measure of everything.
  await load.child.call('sleepUntilRead', undefined);
  const profile = settings.profileDirectory;
  const replays: { perSecond: number; cpuMicros: number; loadShare: number }[] = [];
  let wrong = 0;
  for (let round = -1; round < settings.rounds; round++) {
    if (round === 0 && profile !== undefined) await server.call('startProfile', undefined);
    await server.call('collectGarbage', undefined);
    collectGarbage();
    const before = await load.totals();
    const begunMicros = nowMicros();
    const begunCpuMicros = (await server.call('readAlarms', undefined)).cpuMicros;
    await load.connect(contender, listening.port, { clients: 1, path: `${ALARM_PATH}?replay=all`, checksOrder: true });
    const data = before.data + ALARMS;
    const arrivedMicros = await load.child.call('whenArrived', { data, withinMs: DEADLINE_MS });
    const endCpuMicros = (await server.call('readAlarms', undefined)).cpuMicros;
    const after = await load.totals();
    wrong += Math.abs(after.data - data) + (after.outOfOrder - before.outOfOrder) + (after.lost - before.lost);
    await load.child.call('disconnect', undefined);
    const micros = (arrivedMicros ?? Infinity) - begunMicros;
    // The first runs code that is not warm yet.
    if (round < 0) continue;
    replays.push({
      perSecond: (ALARMS / micros) * 1e6,
      cpuMicros: (endCpuMicros - begunCpuMicros) / ALARMS,
      loadShare: (after.cpuMicros - before.cpuMicros) / micros,
    });
  }
  if (profile !== undefined) await server.call('stopProfile', `${profile}/alarm-replay.cpuprofile`);
  await Promise.all([server.end(), load.child.end()]);

  const perSecond = replays.map((replay) => replay.perSecond);
  return {
    rows: [
      {
        contender: contender.name,
        values: {
          'alarms/s': median(perSecond),
          lowest: Math.min(...perSecond),
          highest: Math.max(...perSecond),
          'CPU µs/alarm': median(replays.map(({ cpuMicros }) => cpuMicros)),
          'load client': `${Math.round(median(replays.map(({ loadShare }) => loadShare)) * 100)} %`,
        },
      },
    ],
    bars: [
      atLeast('replayed alarms, from the request to the last', median(perSecond), 100_000, '/s'),
      atMost('alarms missing, too many or out of order', wrong, 0),
    ],
    notes: [],
  };
}
