import { existsSync, readFileSync } from 'node:fs';
import { type IntervalHistogram, monitorEventLoopDelay } from 'node:perf_hooks';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { collectGarbage, cpuMicros, nowMicros } from '../clock.js';
import type { ServerKind } from '../contenders.js';
import { serveCalls } from '../rpc.js';
import { AlarmSource } from './alarm.source.js';
import { Acknowledgements } from './acknowledgements.js';
import type { BenchServer, StartServer } from './bench.server.js';
import { Profiler } from './profiler.js';
import { measureSync } from './disk.js';
import type { RssReport, ServerApi } from './server.api.js';
import { Source } from './source.js';

const RSS_INTERVAL_MS = 200;
const LOOP_RESOLUTION_MS = 10;
const STATUS_PATH = '/proc/self/status';

/** Only what is measured is loaded. */
const starters: Record<ServerKind, () => Promise<StartServer>> = {
  ours: async () => (await import('./ours.server.js')).startOurs,
  'publish-each': async () => (await import('./publish-each.server.js')).startPublishEach,
  'ws-adapter': async () => (await import('./ws-adapter.server.js')).startWsAdapter,
  'bare-ws': async () => (await import('./bare-ws.server.js')).startBareWs,
  'socket.io': async () => (await import('./socket-io.server.js')).startSocketIo,
  raw: async () => (await import('./raw.server.js')).startRaw,
  'raw-joined': async () => (await import('./raw.server.js')).startRawJoined,
  uws: async () => (await import('./uws.server.js')).startUws,
};

let server: BenchServer | undefined;
let source: Source | undefined;
let alarms: AlarmSource | undefined;
let acknowledgements: Acknowledgements | undefined;
const profiler = new Profiler();
let rss: Watched | undefined;
let rssTimer: NodeJS.Timeout | undefined;
let readReceived: (() => number) | undefined;
let loop: IntervalHistogram | undefined;

interface Watched {
  readonly beforeBytes: number;
  highestBytes: number;
  highestAnonymousBytes: number | undefined;
}

const api: ServerApi = {
  async listen(settings) {
    const start = await starters[settings.kind]();
    const started = await start(settings);
    if (typeof started === 'string') return { skipped: started };
    server = started;
    if (started.alarms !== undefined) alarms = new AlarmSource(started.alarms);
    acknowledgements = await Acknowledgements.listen();
    return { port: started.port, ackPort: acknowledgements.port };
  },

  async runTicks({ content, dataPerTick, clients, ticksInFlight = 1, warmUpMs, measureMs }) {
    const arrivals = present(acknowledgements);
    const ticks = (source = new Source(present(server), content));
    arrivals.reset();
    const runUntil = async (deadlineMicros: number) => {
      do {
        const atMicros = nowMicros();
        for (let i = 0; i < dataPerTick; i++) ticks.push(atMicros);
        await arrivals.whenArrived((ticks.pushed - (ticksInFlight - 1) * dataPerTick) * clients);
        // What is pushed next is to be another tick, also where nothing had to be waited for.
        if (ticksInFlight > 1) await nextTurn();
      } while (nowMicros() < deadlineMicros);
      await arrivals.whenArrived(ticks.pushed * clients);
    };
    await runUntil(nowMicros() + warmUpMs * 1000);
    const from = ticks.read();
    await runUntil(from.atMicros + measureMs * 1000);
    return { from, to: ticks.read() };
  },

  startDemand({ content, demand }) {
    source = new Source(present(server), content);
    source.run(demand);
  },

  read: () => present(source).read(),

  stopDemand() {
    const { newest } = present(source);
    source?.stop();
    return { reading: present(source).read(), newest };
  },

  newest: () => present(source).newest,

  fillLog: ({ kind, alarms: count }) => present(alarms).fill(kind, count),

  floodAlarms: (plan) => present(alarms).flood(plan),

  startAlarms: ({ kind, demand, count }) => present(alarms).run(kind, demand, count),

  readAlarms: () => present(alarms).read(),

  stopAlarms: () => present(alarms).stop(),

  acceptanceAges: (query) => present(alarms).ages.summarize(query),

  measureSync,

  collectGarbage,

  rssBytes: () => process.memoryUsage.rss(),

  watchRss() {
    const beforeBytes = process.memoryUsage.rss();
    const watched: Watched = { beforeBytes, highestBytes: 0, highestAnonymousBytes: undefined };
    const look = () => {
      watched.highestBytes = Math.max(watched.highestBytes, process.memoryUsage.rss());
      const anonymousBytes = anonymousRss();
      if (anonymousBytes === undefined) return;
      watched.highestAnonymousBytes = Math.max(watched.highestAnonymousBytes ?? 0, anonymousBytes);
    };
    look();
    clearInterval(rssTimer);
    rssTimer = setInterval(look, RSS_INTERVAL_MS);
    rss = watched;
  },

  rssReport(): RssReport {
    return { ...present(rss), lastBytes: process.memoryUsage.rss() };
  },

  watchLoop() {
    loop?.disable();
    loop = monitorEventLoopDelay({ resolution: LOOP_RESOLUTION_MS });
    loop.enable();
  },

  loopReport() {
    const watched = present(loop);
    watched.disable();
    const [p50Ms, p99Ms] = [watched.percentile(50) / 1e6, watched.percentile(99) / 1e6];
    return { p50Ms, p99Ms, highestMs: watched.max / 1e6 };
  },

  cpuMicros,

  clientCount: () => present(server).clientCount(),

  socketCount: async () => present(server).socketCount?.(),

  countReceived: () => void (readReceived = present(server).countReceived?.()),

  receivedBytes: () => present(readReceived)(),

  maxInFlightBytes: () => present(server).maxInFlightBytes?.(),

  startProfile: () => profiler.start(),

  stopProfile: (path) => profiler.stop(path),
};

/** Resident memory of this process that is not pages of files, see proc(5). */
function anonymousRss(): number | undefined {
  const kilobytes = existsSync(STATUS_PATH) && /^RssAnon:\s*(\d+) kB$/m.exec(readFileSync(STATUS_PATH, 'latin1'))?.[1];
  return typeof kilobytes === 'string' ? Number(kilobytes) * 1024 : undefined;
}

function present<T>(value: T | undefined): T {
  if (value === undefined) throw new Error('the server does not listen yet, or nothing was pushed');
  return value;
}

serveCalls(api);
