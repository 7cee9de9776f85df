import { createSocket } from 'node:dgram';
import { setTimeout as wait } from 'node:timers/promises';
import { constants, inflateRawSync } from 'node:zlib';
import { collectGarbage, cpuMicros, nowMicros } from '../clock.js';
import { serveCalls } from '../rpc.js';
import { AgeRecord } from './age.record.js';
import { Connection, type Counters, type Recording } from './connection.js';
import { DatumReader } from './datum.reader.js';
import type { ConnectPlan, LoadApi } from './load.api.js';

const CONNECTING_AT_ONCE = 100;
const CATCH_UP_INTERVAL_MS = 5;
/** What a sender strips from the end of a compressed message (RFC 7692 section 7.2.1). */
const DEFLATE_TAIL = Buffer.from([0x00, 0x00, 0xff, 0xff]);

let connections: Connection[] = [];
const counters: Counters = { data: 0, compressedData: 0, outOfOrder: 0, bytes: 0, lost: 0 };
const ages = new AgeRecord();
const udp = createSocket('udp4');
udp.unref();

let ackEvery = Infinity;
let ackFrom = 0;
let ackNext = Infinity;
let ackPort = 0;
let awaited: { data: number; resolve: () => void } | undefined;
let isPolling = true;

function takeNote(): void {
  if (awaited !== undefined && counters.data >= awaited.data) awaited.resolve();
  acknowledgeRead();
}

function acknowledgeRead(): void {
  const arrived = counters.data - ackFrom;
  if (arrived < ackNext) return;
  ackNext = (Math.floor(arrived / ackEvery) + 1) * ackEvery;
  udp.send(String(arrived), ackPort, '127.0.0.1');
}

function openConnection(plan: ConnectPlan, index: number, recording: Recording): Connection {
  const { port, paths, dialect, subscriptions, isCompressed, sourceAddresses, sampled, series, checksOrder } = plan;
  const sampleStep = Math.max(1, Math.floor(paths.length / sampled));
  const options = {
    port,
    path: paths[index] ?? '/',
    localAddress: `127.0.0.${1 + (index % sourceAddresses)}`,
    dialect,
    businessIds: subscriptions[index] ?? [],
    isCompressed,
    checksOrder,
  };
  return new Connection(options, recording, sampled > 0 && index % sampleStep === 0, series);
}

async function waitUnless(signal: AbortSignal, ms: number): Promise<void> {
  try {
    await wait(ms, undefined, { signal });
  } catch (cause) {
    if (!signal.aborted) throw cause;
  }
}

function countMissing(isMissing: (newest: number, series: number) => boolean): number {
  let missing = 0;
  for (const { newest } of connections) {
    for (let series = 0; series < newest.length; series++) if (isMissing(newest[series] ?? -1, series)) missing += 1;
  }
  return missing;
}

const api: LoadApi = {
  async connect(plan) {
    const recording: Recording = { counters, reader: new DatumReader(), ages, onRead: takeNote };
    for (let begin = 0; begin < plan.paths.length; begin += CONNECTING_AT_ONCE) {
      const some = plan.paths
        .slice(begin, begin + CONNECTING_AT_ONCE)
        .map((_, offset) => openConnection(plan, begin + offset, recording));
      connections.push(...some);
      await Promise.all(some.map(({ ready }) => ready));
    }
  },

  acknowledge({ port, every }) {
    ackPort = port;
    ackFrom = counters.data;
    ackEvery = ackNext = every;
  },

  totals: () => ({ ...counters, cpuMicros: cpuMicros() }),

  forgetAges: () => ages.clear(),

  ages: (query) => ages.summarize(query),

  async whenCaughtUp({ expected, withinMs }) {
    const deadlineMicros = nowMicros() + withinMs * 1000;
    const isMissing = (newest: number, series: number) => newest < (expected[series] ?? -1);
    for (;;) {
      const missing = countMissing(isMissing);
      if (missing === 0) return { atMicros: nowMicros(), missing };
      if (nowMicros() >= deadlineMicros) return { atMicros: undefined, missing };
      await wait(CATCH_UP_INTERVAL_MS);
    }
  },

  async whenReached({ n, withinMs }) {
    const deadlineMicros = nowMicros() + withinMs * 1000;
    for (;;) {
      if (connections.every(({ lastNumber }) => lastNumber >= n)) return nowMicros();
      if (nowMicros() >= deadlineMicros) return undefined;
      await wait(CATCH_UP_INTERVAL_MS);
    }
  },

  async whenArrived({ data, withinMs }) {
    let atMicros: number | undefined;
    const deadline = new AbortController();
    const arrival = new Promise<void>((resolve) => {
      awaited = {
        data,
        resolve() {
          atMicros ??= nowMicros();
          deadline.abort();
          resolve();
        },
      };
    });
    if (counters.data >= data) awaited?.resolve();
    await Promise.race([arrival, waitUnless(deadline.signal, withinMs)]);
    awaited = undefined;
    return atMicros;
  },

  sleepUntilRead: () => void (isPolling = false),

  countWrongValues: ({ expected }) => countMissing((newest, series) => newest !== expected[series]),

  inflatedLength() {
    const sample = connections.find(({ compressedSample }) => compressedSample !== undefined)?.compressedSample;
    if (sample === undefined) return undefined;
    const json = inflateRawSync(Buffer.concat([sample, DEFLATE_TAIL]), {
      finishFlush: constants.Z_SYNC_FLUSH,
    }).toString();
    JSON.parse(json);
    return Buffer.byteLength(json);
  },

  async disconnect() {
    for (const connection of connections) connection.disconnect();
    connections = [];
    await wait(100);
  },

  collectGarbage,
};

/**
 * Waits for data without sleeping in epoll. A sender on the same machine pays for waking the reader: with every write
 * if it is slower than the reader, and never if it is faster. So nobody pays here, as nobody pays for readers on other
 * machines, and what is compared is the servers.
 */
const POLL_INTERVAL_MS = 1;
const nobodyNotifies = new Int32Array(new SharedArrayBuffer(Int32Array.BYTES_PER_ELEMENT));

function poll(): void {
  if (!isPolling) return;
  Atomics.wait(nobodyNotifies, 0, 0, POLL_INTERVAL_MS);
  // While an immediate is due the loop asks epoll without waiting.
  setImmediate(poll);
}

serveCalls(api);
poll();
