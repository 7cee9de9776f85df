import { MEGABYTE, nowMicros, sleep } from '../clock.js';
import { ours } from '../contenders.js';
import { SHORT_BYTES } from '../datum.js';
import { Load, Pair } from '../pair.js';
import { atMost, type CaseReport } from '../report.js';
import type { Demand } from '../servers/source.js';
import type { Settings } from '../settings.js';
import type { BenchCase } from './bench.case.js';
import { ONE_KEY, SERIES } from './tick.entry.js';

const DEMAND: Demand = { intervalMs: 50, burst: 5 };
const WINDOW_BYTES = 64 * 1024;
/** With the four bytes of its header, RFC 6455 section 5.2. */
const FRAME_BYTES = SHORT_BYTES + 4;
const IN_FLIGHT_INTERVAL_MS = 2000;
const CATCH_UP_MS = 2000;

export const stopped: BenchCase = {
  name: 'stopped',
  title: 'stopped: half of the clients SIGSTOPped, 100 data of 200 bytes a second in 100 series',
  run,
};

async function run(settings: Settings): Promise<CaseReport> {
  const { clients, isQuick } = settings;
  const stoppedMs = isQuick ? 5000 : 30_000;
  const beforeMs = isQuick ? 4000 : 40_000;
  const crowd = { clients, series: SERIES };
  const pair = await Pair.start(ours, crowd);
  if (typeof pair === 'string') throw new Error(pair);
  const { server, load: others } = pair;
  await pair.runTicks(ONE_KEY, 1, settings.roundMs);
  await pair.profile(settings);
  const sleepers = new Load();
  await sleepers.connect(ours, pair.port, crowd);

  await server.call('startDemand', { content: ONE_KEY, demand: DEMAND });
  await sleep(beforeMs / 4);
  const begunMicros = nowMicros();
  await sleep(beforeMs * 0.75);
  await server.call('collectGarbage', undefined);
  await server.call('watchRss', undefined);

  sleepers.child.stop();
  const stoppedMicros = nowMicros();
  let inFlightBytes = 0;
  while (nowMicros() < stoppedMicros + stoppedMs * 1000) {
    await sleep(IN_FLIGHT_INTERVAL_MS);
    inFlightBytes = Math.max(inFlightBytes, (await server.call('maxInFlightBytes', undefined)) ?? NaN);
  }
  const expected = await server.call('newest', undefined);
  const continuedMicros = nowMicros();
  sleepers.child.continue();
  const caughtUp = await sleepers.child.call('whenCaughtUp', { expected: [...expected], withinMs: 5 * CATCH_UP_MS });
  const { newest } = await server.call('stopDemand', undefined);
  await sleep(1000);
  const wrongValues =
    (await others.child.call('countWrongValues', { expected: newest })) +
    (await sleepers.child.call('countWrongValues', { expected: newest }));

  const before = await others.ages({ fromMicros: begunMicros, toMicros: stoppedMicros });
  const during = await others.ages({ fromMicros: stoppedMicros, toMicros: continuedMicros });
  const rss = await server.call('rssReport', undefined);
  const lost = (await others.totals()).lost + (await sleepers.totals()).lost;
  await Promise.all([pair.end(), sleepers.child.end()]);

  const rssGrowth = (rss.highestBytes - rss.beforeBytes) / MEGABYTE;
  const catchUpMs = caughtUp.atMicros === undefined ? Infinity : (caughtUp.atMicros - continuedMicros) / 1000;
  const ageLimit = Math.max(before.p99Ms * 1.2, before.p99Ms + 10);
  return {
    rows: [
      {
        contender: ours.name,
        values: {
          'age p50 before': before.p50Ms,
          'age p99 before': before.p99Ms,
          'age p50 during': during.p50Ms,
          'age p99 during': during.p99Ms,
          'RSS + MB': rssGrowth,
          'RSS MB': rss.lastBytes / MEGABYTE,
          'in flight': inFlightBytes,
          'catch-up ms': catchUpMs,
        },
      },
    ],
    bars: [
      atMost('RSS growth at its highest', rssGrowth, 64, ' MB'),
      atMost("the others' age p99 meanwhile", during.p99Ms, ageLimit, ' ms'),
      atMost('newest value of each series at each client after SIGCONT', catchUpMs, CATCH_UP_MS, ' ms'),
      atMost('most bytes in flight to one client', inFlightBytes, WINDOW_BYTES + FRAME_BYTES, ' bytes'),
      atMost('clients disconnected', lost, 0),
      atMost('series without their final value, over all clients', wrongValues, 0),
    ],
    notes: [],
  };
}
