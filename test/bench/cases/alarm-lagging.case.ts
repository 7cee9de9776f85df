import { MEGABYTE, nowMicros, sleep } from '../clock.js';
import { Load, Pair } from '../pair.js';
import { atMost, type CaseReport } from '../report.js';
import type { Demand } from '../servers/source.js';
import type { Settings } from '../settings.js';
import type { BenchCase } from './bench.case.js';
import { ALARM_PATH, oursOnDisk } from './alarm.contenders.js';

const CLIENTS = 100;
const ALARMS_A_SECOND = 2000;
/** Enough at this rate, and no load on the process that takes the ages. */
const SAMPLED = 5;
const DEMAND: Demand = { intervalMs: 5, burst: 10 };
const CATCH_UP_DEADLINE_MS = 120_000;
const SETTLING_MS = 2000;
const CHECK_INTERVAL_MS = 100;

export const alarmLagging: BenchCase = {
  name: 'alarm-lagging',
  title:
    `alarm-lagging: ${CLIENTS} clients SIGSTOPped beside ${CLIENTS} live ones at ${ALARMS_A_SECOND} alarms a second; ` +
    'they fall 100000 alarms behind, then catch up',
  run,
};

async function run(settings: Settings): Promise<CaseReport> {
  const behind = settings.isQuick ? 10_000 : 100_000;
  const beforeMs = settings.isQuick ? 4000 : 30_000;
  const retention = 3 * behind;
  const contender = oursOnDisk('ours, push.v1', 'push.v1', {
    alarmRetention: retention,
    // They are stopped for longer than a connection may be without a pong.
    heartbeatTimeoutMs: 600_000,
  });
  const crowd = { clients: CLIENTS, path: ALARM_PATH, checksOrder: true, sampled: SAMPLED };
  // Every page of the log's file has been written and read: what is mapped of it does not grow any more.
  const pair = await Pair.start(contender, crowd, (started) =>
    started.call('fillLog', { kind: 'condition', alarms: 2 * retention }),
  );
  if (typeof pair === 'string') throw new Error(pair);
  const { server, load: live } = pair;
  const filled = await server.call('readAlarms', undefined);
  const laggards = new Load();
  await laggards.connect(contender, pair.port, crowd);

  await server.call('startAlarms', { kind: 'condition', demand: DEMAND });
  await sleep(beforeMs / 2);
  await pair.profile(settings);
  await server.call('watchRss', undefined);
  const begunMicros = nowMicros();
  await sleep(beforeMs / 2);
  // At its highest, as what follows is: a heap that was just cleared would grow with nobody behind.
  const rssBefore = await server.call('rssReport', undefined);
  await server.call('watchRss', undefined);

  const stopped = await server.call('readAlarms', undefined);
  laggards.child.stop();
  const stoppedMicros = nowMicros();
  let { accepted } = stopped;
  while (accepted < stopped.accepted + behind) {
    await sleep(CHECK_INTERVAL_MS);
    ({ accepted } = await server.call('readAlarms', undefined));
  }
  const whileBehind = await server.call('rssReport', undefined);
  const continuedMicros = nowMicros();
  laggards.child.continue();
  const reading = await server.call('readAlarms', undefined);
  const reached = { n: accepted - 1, withinMs: CATCH_UP_DEADLINE_MS };
  const caughtUpMicros = (await laggards.child.call('whenReached', reached)) ?? nowMicros();
  const caughtUp = await server.call('readAlarms', undefined);
  const { pushed } = await server.call('stopAlarms', undefined);
  await laggards.child.call('whenReached', { n: pushed - 1, withinMs: CATCH_UP_DEADLINE_MS });
  await sleep(SETTLING_MS);

  const before = await live.ages({ fromMicros: begunMicros, toMicros: stoppedMicros });
  const during = await live.ages({ fromMicros: stoppedMicros, toMicros: continuedMicros });
  const catchingUp = await live.ages({ fromMicros: continuedMicros, toMicros: caughtUpMicros });
  const rss = await server.call('rssReport', undefined);
  const totals = [await live.totals(), await laggards.totals()];
  await Promise.all([pair.end(), laggards.child.end()]);

  const growth = (rss.highestBytes - rssBefore.highestBytes) / MEGABYTE;
  const anonymousGrowth = ((rss.highestAnonymousBytes ?? NaN) - (rssBefore.highestAnonymousBytes ?? NaN)) / MEGABYTE;
  const ageLimit = Math.max(before.p99Ms * 1.2, before.p99Ms + 10);
  const catchUpSeconds = (caughtUpMicros - continuedMicros) / 1e6;
  const sent = pushed - filled.pushed;
  const wrong = totals.reduce((sum, { data, outOfOrder }) => sum + Math.abs(data - sent * CLIENTS) + outOfOrder, 0);
  return {
    rows: [
      {
        contender: contender.name,
        values: {
          'p50 before': before.p50Ms,
          'p99 before': before.p99Ms,
          'p99 lag': during.p99Ms,
          'p50 catch-up': catchingUp.p50Ms,
          'p99 catch-up': catchingUp.p99Ms,
          'RSS MB before': rssBefore.highestBytes / MEGABYTE,
          'RSS + MB lag': (whileBehind.highestBytes - rssBefore.highestBytes) / MEGABYTE,
          'RSS + MB': growth,
          'of it not files': anonymousGrowth,
          'catch-up s': catchUpSeconds,
          'caught up/s': (CLIENTS * behind) / catchUpSeconds,
          'server CPU': `${Math.round(((caughtUp.cpuMicros - reading.cpuMicros) / (caughtUp.atMicros - reading.atMicros)) * 100)} %`,
        },
      },
    ],
    bars: [
      atMost('RSS at its highest over that before', growth, 32, ' MB'),
      atMost("the live clients' age p99 during the lag", during.p99Ms, ageLimit, ' ms'),
      atMost("the live clients' age p99 during the catch-up", catchingUp.p99Ms, ageLimit, ' ms'),
      atMost('alarms missing, too many or out of order, over all clients', wrong, 0),
      atMost(
        'clients disconnected',
        totals.reduce((sum, { lost }) => sum + lost, 0),
        0,
      ),
    ],
    notes: [],
  };
}
