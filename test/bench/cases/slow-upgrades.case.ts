import type { Child } from '../child.js';
import { sleep } from '../clock.js';
import { ours, pathOf } from '../contenders.js';
import { hostileLoad, profile } from '../hostile.js';
import type { Latencies } from '../load/hostile.api.js';
import { startServer } from '../pair.js';
import { atLeast, atMost, type CaseReport, type Row } from '../report.js';
import type { ServerApi } from '../servers/server.api.js';
import type { Settings } from '../settings.js';
import type { BenchCase } from './bench.case.js';

const SLOW_UPGRADES = 1000;
const SLOW_SOURCES = 4;
/** Below the 100 upgrades a second that one address may ask for. */
const INTERVAL_MS = 20;
const WARM_UP_CONNECTS = 200;
/** The server cuts them together, and for a moment those that come in their place are not open yet. */
const LEAST_OPEN = 0.95;
const LOOK_INTERVAL_MS = 100;
const HEALTHY_ADDRESS = '127.0.0.100';

export const slowUpgrades: BenchCase = {
  name: 'slow-upgrades',
  title: `slow-upgrades: a client connects while ${SLOW_UPGRADES} upgrades are silent, half there or dripping`,
  run,
};

async function run(settings: Settings): Promise<CaseReport> {
  const connects = settings.isQuick ? 200 : 1000;
  const server = startServer(ours);
  const listening = await server.call('listen', ours.server);
  if ('skipped' in listening) throw new Error(listening.skipped);
  const { port } = listening;
  const path = pathOf(ours, 0);
  const [healthy, slow] = [hostileLoad(), hostileLoad()];
  const connect = (count: number) =>
    healthy.call('connectInRhythm', {
      port,
      path,
      localAddress: HEALTHY_ADDRESS,
      count,
      intervalMs: INTERVAL_MS,
    });
  await connect(WARM_UP_CONNECTS);
  const before = await connect(connects);
  await slow.call('holdSlowUpgrades', { port, path, count: SLOW_UPGRADES, sourceAddresses: SLOW_SOURCES });
  const endProfile = await profile(server, settings, 'slow-upgrades');
  await slow.call('forgetSlowCounts', undefined);
  const { result: during, sockets } = await whileCounting(server, connect(connects));
  await endProfile();
  const held = await slow.call('slowReport', undefined);
  await Promise.all([server.end(), healthy.end(), slow.end()]);
  const lowestAtServer = Math.min(...sockets);
  const meanAtServer = sockets.reduce((sum, count) => sum + count, 0) / sockets.length;
  return {
    rows: [
      row('before', before, {}),
      row('with slow upgrades', during, {
        'slow, mean': held.meanOpen,
        lowest: held.lowestOpen,
        'cut by the server': held.cut,
        'sockets at the server, mean': meanAtServer,
        'lowest at the server': lowestAtServer,
      }),
    ],
    bars: [
      atMost('connect p99 with slow upgrades', during.p99Ms, 100, ' ms'),
      atMost('connects that failed, before and with them', before.refused + during.refused, 0),
      atLeast('slow upgrades open at the server, mean', meanAtServer, LEAST_OPEN * SLOW_UPGRADES),
    ],
    notes: [
      `slow upgrades that could not be made: ${held.failed}; each that is cut is opened again at once, all of them together`,
    ],
  };
}

async function whileCounting<T>(
  server: Child<ServerApi>,
  running: Promise<T>,
): Promise<{ result: T; sockets: number[] }> {
  const sockets: number[] = [];
  const over = new AbortController();
  const counting = (async () => {
    while (!over.signal.aborted) {
      sockets.push((await server.call('socketCount', undefined)) ?? NaN);
      await sleep(LOOK_INTERVAL_MS);
    }
  })();
  try {
    return { result: await running, sockets };
  } finally {
    over.abort();
    await counting;
  }
}

function row(contender: string, { count, refused, p50Ms, p99Ms, highestMs }: Latencies, more: Row['values']): Row {
  return {
    contender,
    values: { connects: count, failed: refused, 'p50 ms': p50Ms, 'p99 ms': p99Ms, 'highest ms': highestMs, ...more },
  };
}
