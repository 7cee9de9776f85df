import { collectGarbage, nowMicros } from '../clock.js';
import type { ServerKind } from '../contenders.js';
import { serveCalls } from '../rpc.js';
import { Acknowledgements } from './acknowledgements.js';
import type { BenchServer, StartServer } from './bench.server.js';
import { Profiler } from './profiler.js';
import type { RssReport, ServerApi } from './server.api.js';
import { Source } from './source.js';

const RSS_INTERVAL_MS = 200;

/** Only what is measured is loaded. */
const starters: Record<ServerKind, () => Promise<StartServer>> = {
  ours: async () => (await import('./ours.server.js')).startOurs,
  'ws-adapter': async () => (await import('./ws-adapter.server.js')).startWsAdapter,
  'bare-ws': async () => (await import('./bare-ws.server.js')).startBareWs,
  'socket.io': async () => (await import('./socket-io.server.js')).startSocketIo,
  raw: async () => (await import('./raw.server.js')).startRaw,
  'raw-joined': async () => (await import('./raw.server.js')).startRawJoined,
  uws: async () => (await import('./uws.server.js')).startUws,
};

let server: BenchServer | undefined;
let source: Source | undefined;
let acknowledgements: Acknowledgements | undefined;
const profiler = new Profiler();
let rss: { beforeBytes: number; highestBytes: number } | undefined;

const api: ServerApi = {
  async listen(settings) {
    const start = await starters[settings.kind]();
    const started = await start(settings);
    if (typeof started === 'string') return { skipped: started };
    server = started;
    acknowledgements = await Acknowledgements.listen();
    return { port: started.port, ackPort: acknowledgements.port };
  },

  async runTicks({ content, dataPerTick, clients, warmUpMs, measureMs }) {
    const arrivals = present(acknowledgements);
    const ticks = (source = new Source(present(server), content));
    arrivals.reset();
    const runUntil = async (deadlineMicros: number) => {
      do {
        const atMicros = nowMicros();
        for (let i = 0; i < dataPerTick; i++) ticks.push(atMicros);
        await arrivals.whenArrived(ticks.read().pushed * clients);
      } while (nowMicros() < deadlineMicros);
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

  collectGarbage,

  rssBytes: () => process.memoryUsage.rss(),

  watchRss() {
    const beforeBytes = process.memoryUsage.rss();
    const watched = (rss = { beforeBytes, highestBytes: beforeBytes });
    setInterval(() => {
      watched.highestBytes = Math.max(watched.highestBytes, process.memoryUsage.rss());
    }, RSS_INTERVAL_MS);
  },

  rssReport(): RssReport {
    const { beforeBytes, highestBytes } = present(rss);
    return { beforeBytes, highestBytes, lastBytes: process.memoryUsage.rss() };
  },

  clientCount: () => present(server).clientCount(),

  maxInFlightBytes: () => present(server).maxInFlightBytes?.(),

  startProfile: () => profiler.start(),

  stopProfile: (path) => profiler.stop(path),
};

function present<T>(value: T | undefined): T {
  if (value === undefined) throw new Error('the server does not listen yet, or nothing was pushed');
  return value;
}

serveCalls(api);
