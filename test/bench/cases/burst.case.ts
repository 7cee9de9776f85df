import { oursWith, pathOf } from '../contenders.js';
import { hostileLoad, profile } from '../hostile.js';
import { startServer } from '../pair.js';
import { atLeast, atMost, type CaseReport } from '../report.js';
import type { LoopDelays } from '../servers/server.api.js';
import type { Settings } from '../settings.js';
import type { BenchCase } from './bench.case.js';

/** From so many addresses, so that the limits of one address are as they are by default. */
const SOURCE_ADDRESSES = 16;
const LOAD_PROCESSES = 2;
const DEADLINE_MS = 15_000;
const LOAD_DEADLINE_MS = 2 * DEADLINE_MS;
const ROUNDS = 3;
const CLIENTS = 10_000;

export const burst: BenchCase = {
  name: 'burst',
  title: `burst: ${CLIENTS} clients connect at once, from ${SOURCE_ADDRESSES} addresses`,
  run,
};

interface Round {
  readonly connected: number;
  readonly seconds: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly delays: LoopDelays;
  readonly cpuSeconds: number;
  readonly isRefusedRightly: boolean;
  readonly failures: readonly string[];
}

async function run(settings: Settings): Promise<CaseReport> {
  const { isQuick } = settings;
  const clients = isQuick ? CLIENTS / 10 : CLIENTS;
  const rounds: Round[] = [];
  for (let round = 0; round < (isQuick ? 1 : ROUNDS); round++) rounds.push(await measure(clients, settings));
  const most = (of: (round: Round) => number) => Math.max(...rounds.map(of));
  return {
    rows: rounds.map((round, index) => ({
      contender: `round ${index + 1}`,
      values: {
        connected: round.connected,
        'all in, s': round.seconds,
        'connect p50 ms': round.p50Ms,
        'connect p99 ms': round.p99Ms,
        'loop delay p50 ms': round.delays.p50Ms,
        'loop delay p99 ms': round.delays.p99Ms,
        'loop delay highest ms': round.delays.highestMs,
        'server CPU s': round.cpuSeconds,
      },
    })),
    bars: [
      atLeast('connected, fewest of a round', Math.min(...rounds.map(({ connected }) => connected)), clients),
      atMost(
        'all in, longest of a round',
        most(({ seconds }) => seconds),
        DEADLINE_MS / 1000,
        ' s',
      ),
      atMost(
        'event-loop delay p99, highest of a round',
        most(({ delays }) => delays.p99Ms),
        200,
        ' ms',
      ),
      atMost(
        'one more than maxConnections: rounds without 503 and Retry-After',
        rounds.filter(({ isRefusedRightly }) => !isRefusedRightly).length,
        0,
      ),
    ],
    notes: [
      'a new server each round, so that its code is not warm; a delay is the time between two ticks 10 ms apart',
      ...rounds.flatMap(({ failures }) => failures),
    ],
  };
}

async function measure(clients: number, settings: Settings): Promise<Round> {
  const contender = oursWith('ours', { maxConnections: clients, maxConnectionsPerIp: 1000 });
  const server = startServer(contender);
  const listening = await server.call('listen', contender.server);
  if ('skipped' in listening) throw new Error(listening.skipped);
  const { port } = listening;
  const places = Array.from({ length: clients }, (_, index) => ({
    path: pathOf(contender, index),
    localAddress: `127.0.0.${1 + (index % SOURCE_ADDRESSES)}`,
  }));
  const share = Math.ceil(clients / LOAD_PROCESSES);
  const loads = Array.from({ length: LOAD_PROCESSES }, (_, index) => ({
    child: hostileLoad(),
    places: places.slice(index * share, (index + 1) * share),
  }));
  // Begins no burst, and tells that the processes are there.
  for (const { child } of loads) await child.call('connectAll', { port, places: [], withinMs: LOAD_DEADLINE_MS });
  const endProfile = await profile(server, settings, 'burst');
  const cpuBefore = await server.call('cpuMicros', undefined);
  await server.call('watchLoop', undefined);
  const reports = await Promise.all(
    loads.map(({ child, places: ofChild }) =>
      child.call('connectAll', { port, places: ofChild, withinMs: LOAD_DEADLINE_MS }),
    ),
  );
  const delays = await server.call('loopReport', undefined);
  const cpuAfter = await server.call('cpuMicros', undefined);
  await endProfile();
  const connected = await server.call('clientCount', undefined);
  const [first] = loads;
  const oneMore = await first?.child.call('ask', { port, path: pathOf(contender, clients), localAddress: '127.0.0.1' });
  await Promise.all([server.end(), ...loads.map(({ child }) => child.end())]);
  const fromMicros = Math.min(...reports.map((report) => report.fromMicros));
  const toMicros = Math.max(...reports.map((report) => report.toMicros));
  return {
    connected,
    seconds: (toMicros - fromMicros) / 1e6,
    p50Ms: Math.max(...reports.map(({ p50Ms }) => p50Ms)),
    p99Ms: Math.max(...reports.map(({ p99Ms }) => p99Ms)),
    delays,
    cpuSeconds: (cpuAfter - cpuBefore) / 1e6,
    isRefusedRightly: oneMore?.status === 503 && oneMore.retryAfter !== undefined,
    failures: reports.flatMap(({ failure }) => (failure === undefined ? [] : [`a connect failed: ${failure}`])),
  };
}
