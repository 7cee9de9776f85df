import { MEGABYTE, nowMicros, sleep } from '../clock.js';
import { ours, pathOf } from '../contenders.js';
import { hostileLoad } from '../hostile.js';
import { Pair } from '../pair.js';
import { atLeast, atMost, type CaseReport } from '../report.js';
import type { Demand } from '../servers/source.js';
import type { Settings } from '../settings.js';
import type { BenchCase } from './bench.case.js';
import { ONE_KEY } from './tick.entry.js';

const DEMAND: Demand = { intervalMs: 50, burst: 1 };
const FLOODERS = 4;
/** A million pings of 125 bytes. */
const FLOOD_BYTES = 131_000_000;
const FLOOD_DEADLINE_MS = 120_000;
const LOOK_INTERVAL_MS = 50;
const DECIMAL_MEGABYTE = 1e6;

export const pingFlood: BenchCase = {
  name: 'ping-flood',
  title: `ping-flood: ${FLOODERS} clients that read nothing send ${FLOOD_BYTES / DECIMAL_MEGABYTE} MB of pings, 20 data of 200 bytes a second`,
  run,
};

async function run(settings: Settings): Promise<CaseReport> {
  const beforeMs = settings.isQuick ? 4000 : 30_000;
  const bytes = settings.isQuick ? FLOOD_BYTES / 10 : FLOOD_BYTES;
  const pair = await Pair.start(ours, { clients: settings.clients });
  if (typeof pair === 'string') throw new Error(pair);
  const { server, load, port } = pair;
  await pair.runTicks(ONE_KEY, 1, settings.roundMs);
  await pair.profile(settings);
  const flooders = hostileLoad();

  await server.call('startDemand', { content: ONE_KEY, demand: DEMAND });
  await sleep(beforeMs / 4);
  await server.call('collectGarbage', undefined);
  await server.call('watchRss', undefined);
  const begunMicros = nowMicros();
  await sleep(beforeMs * 0.75);
  const quiet = await server.call('rssReport', undefined);
  await server.call('collectGarbage', undefined);
  await server.call('watchRss', undefined);
  await server.call('countReceived', undefined);
  const fromMicros = nowMicros();
  const path = pathOf(ours, settings.clients);
  await flooders.call('startFlood', { port, path, flooders: FLOODERS });
  let receivedBytes = 0;
  while (receivedBytes < bytes && nowMicros() < fromMicros + FLOOD_DEADLINE_MS * 1000) {
    await sleep(LOOK_INTERVAL_MS);
    receivedBytes = await server.call('receivedBytes', undefined);
  }
  const toMicros = nowMicros();
  const flood = await flooders.call('stopFlood', undefined);
  const flooded = await server.call('rssReport', undefined);
  await server.call('stopDemand', undefined);
  const before = await load.ages({ fromMicros: begunMicros, toMicros: fromMicros });
  const during = await load.ages({ fromMicros: fromMicros, toMicros: toMicros });
  const { lost } = await load.totals();
  await Promise.all([pair.end(), flooders.end()]);

  const growth = (flooded.highestBytes - flooded.beforeBytes) / MEGABYTE;
  return {
    rows: [
      {
        contender: 'before',
        values: {
          'age p50': before.p50Ms,
          'age p99': before.p99Ms,
          ages: before.count,
          'RSS + MB': (quiet.highestBytes - quiet.beforeBytes) / MEGABYTE,
          'RSS MB': quiet.highestBytes / MEGABYTE,
        },
      },
      {
        contender: 'flood',
        values: {
          'age p50': during.p50Ms,
          'age p99': during.p99Ms,
          ages: during.count,
          'RSS + MB': growth,
          'RSS MB': flooded.highestBytes / MEGABYTE,
          'sent MB': flood.sentBytes / DECIMAL_MEGABYTE,
          'received MB': receivedBytes / DECIMAL_MEGABYTE,
          connections: flood.connections,
          refused: flood.refusals,
          seconds: (toMicros - fromMicros) / 1e6,
        },
      },
    ],
    bars: [
      atMost('RSS growth at its highest', growth, 10, ' MB'),
      atMost("the others' age p99 meanwhile", during.p99Ms, Math.max(before.p99Ms * 1.2, before.p99Ms + 10), ' ms'),
      atLeast('pings that the server read', receivedBytes / DECIMAL_MEGABYTE, bytes / DECIMAL_MEGABYTE, ' MB'),
      atMost('other clients disconnected', lost, 0),
    ],
    notes: ['the flood goes on until the server, and not only the kernel, has taken that much'],
  };
}
