import { existsSync } from 'node:fs';
import { createServer } from 'node:net';
import { RedisServer } from '../../support/redis.process.js';
import { nowMicros, sleep } from '../clock.js';
import { ours } from '../contenders.js';
import { createDatum } from '../datum.js';
import { Load } from '../pair.js';
import { atMost } from '../report.js';
import { portOf } from '../servers/listen.js';
import { median, medianRatio } from '../statistics.js';
import { WorkerNode } from '../worker.node.js';
import type { BenchCase } from './bench.case.js';
import { SERIES } from './tick.entry.js';

const DATA_A_PUSH = 20;
const PUSH_EVERY_MS = 50;
const ARRIVAL_DEADLINE_MS = 10_000;

interface Running {
  readonly workers: number;
  readonly node: WorkerNode;
  readonly load: Load;
  readonly cpuMicros: number[];
}

/** The node of the app with one worker and with two, on one Redis, with the same clients and the same data. */
export const workers: BenchCase = {
  name: 'workers',
  title: `workers: ${DATA_A_PUSH} data of 200 bytes every ${PUSH_EVERY_MS} ms to all clients of one key`,
  async run({ clients, rounds, roundMs }) {
    if (!existsSync('/proc/self/stat')) return { rows: [], bars: [bar(undefined)], notes: ['needs /proc'] };
    const redis = await RedisServer.start();
    const all: Running[] = [];
    for (const count of [1, 2]) {
      const node = await WorkerNode.start(count, redis.url, await freePort());
      const load = new Load();
      await load.connect(ours, node.port, { clients });
      all.push({ workers: count, node, load, cpuMicros: [] });
      await measure(node, load, clients, roundMs);
    }
    for (let round = 0; round < rounds; round++) {
      for (const { node, load, cpuMicros } of all) cpuMicros.push(await measure(node, load, clients, roundMs));
    }
    await Promise.all(all.flatMap(({ node, load }) => [node.end(), load.child.end()]));
    await redis.stop();
    const [one, two] = all.map(({ cpuMicros }) => cpuMicros);
    return {
      rows: all.map(({ workers: count, cpuMicros }) => ({
        contender: `${count} worker${count === 1 ? '' : 's'}`,
        values: { 'CPU µs/datum, all processes': median(cpuMicros) },
      })),
      bars: [bar(medianRatio(two ?? [], one ?? []))],
      notes: [],
    };
  },
};

function bar(measured: number | undefined) {
  return atMost('CPU a delivery with two workers to one', measured, 1.25, ' ×');
}

/** CPU time a delivered datum. */
async function measure(node: WorkerNode, load: Load, clients: number, durationMs: number): Promise<number> {
  const before = (await load.totals()).data;
  const cpuBefore = node.cpuMicros();
  let pushed = 0;
  for (const untilMs = performance.now() + durationMs; performance.now() < untilMs;) {
    const atMicros = nowMicros();
    const data = Array.from({ length: DATA_A_PUSH }, (_, i) =>
      createDatum('short', { key: 0, series: (pushed + i) % SERIES, n: pushed + i, atMicros }),
    );
    await node.push(data);
    pushed += DATA_A_PUSH;
    await sleep(Math.max(0, PUSH_EVERY_MS - (nowMicros() - atMicros) / 1000));
  }
  const expected = before + pushed * clients;
  const arrivedAt = await load.child.call('whenArrived', { data: expected, withinMs: ARRIVAL_DEADLINE_MS });
  if (arrivedAt === undefined) {
    throw new Error(`${(await load.totals()).data - before} data arrived of ${pushed * clients}`);
  }
  return (node.cpuMicros() - cpuBefore) / (pushed * clients);
}

async function freePort(): Promise<number> {
  const probe = createServer();
  await new Promise<void>((resolve) => {
    probe.listen(0, '127.0.0.1', resolve);
  });
  const port = portOf(probe);
  await new Promise((resolve) => {
    probe.close(resolve);
  });
  return port;
}
