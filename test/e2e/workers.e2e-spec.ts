import { once } from 'node:events';
import { writeFile } from 'node:fs/promises';
import { type AddressInfo, createServer } from 'node:net';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, expect, jest, test } from '@jest/globals';
import type { ClusterClientsPage } from '../../src/index.js';
import { hostBusinessId } from '../../src/app/demo/host.telemetry.js';
import { CompiledApp } from '../support/compiled.app.js';
import { until, within } from '../support/deadline.js';
import { LoggedProcess } from '../support/logged.process.js';
import { type Exposition, parseExposition, valueOf } from '../support/prometheus.js';
import { PushClient } from '../support/push.client.js';
import { rawUpgrade } from '../support/raw-upgrade.js';
import { describeWithRedis, RedisServer } from '../support/redis.server.js';

/** Processes have to start, several of them at once. */
const DEADLINE_MS = 30_000;
jest.setTimeout(4 * DEADLINE_MS);

const PATH = '/ws/rowdata/meter/5/ann';
const DATUM = { businessType: 'meter', businessId: '5', value: 7 };
const DRAIN = { code: 1012, reason: 'server is restarting' };
const LISTENING = /^\[worker \d\].*listening on http:\/\/127\.0\.0\.1:\d+/;

/** `npm start` with PUSH_WORKERS: the primary process, and what its workers say. */
class Node {
  private readonly clients: PushClient[] = [];

  private constructor(
    readonly process: LoggedProcess,
    readonly port: number,
  ) {}

  static run(app: CompiledApp, environment: Readonly<Record<string, string>>): LoggedProcess {
    const settings = { HOST: '127.0.0.1', PUSH_DEMO: 'false', PUSH_DRAIN_WINDOW_MS: '500', PUSH_WORKERS: '2' };
    return LoggedProcess.node(app.main, app.folder, { ...settings, ...environment });
  }

  /** Once both workers listen. */
  static async start(app: CompiledApp, environment: Readonly<Record<string, string>>): Promise<Node> {
    const process = Node.run(app, { PORT: '0', ...environment });
    await process.logged(LISTENING, 2, DEADLINE_MS);
    const [, port] = /:(\d+)(,|$)/.exec(process.having(LISTENING)[0] ?? '') ?? [];
    return new Node(process, Number(port));
  }

  /** Of the workers that have listened, in the order of their numbers, the latest of each. */
  get workerPids(): number[] {
    const latest = new Map(
      this.process.having(LISTENING).map((line) => {
        const [, number, pid] = /^\[worker (\d)\] (\d+)/.exec(line) ?? [];
        return [Number(number), Number(pid)];
      }),
    );
    return [1, 2].map((number) => latest.get(number) ?? 0);
  }

  async connect(path = PATH): Promise<PushClient> {
    const client = await PushClient.connectPushV1(`ws://127.0.0.1:${this.port}${path}`);
    this.clients.push(client);
    return client;
  }

  async listed(): Promise<ClusterClientsPage> {
    const answer = await fetch(`http://127.0.0.1:${this.port}/push/clients?scope=cluster`);
    if (answer.status !== 200) throw new Error(`the clients are answered ${answer.status}`);
    return (await answer.json()) as ClusterClientsPage;
  }

  /** Clients on both workers: they take turns. */
  async connectToBoth(): Promise<PushClient[]> {
    const clients = [await this.connect(), await this.connect(), await this.connect(), await this.connect()];
    const { nodes } = await this.listed();
    if (nodes.filter(({ rawData }) => rawData > 0).length !== 2) throw new Error('all clients are on one worker');
    return clients;
  }

  async push(datum: object): Promise<number> {
    const answer = await fetch(`http://127.0.0.1:${this.port}/push/raw-data`, {
      method: 'POST',
      headers: { 'Content-Type': 'application/json' },
      body: JSON.stringify(datum),
    });
    return answer.status;
  }

  async scrape(): Promise<Exposition> {
    // On a connection of its own: they are dealt out in turn.
    const answer = await fetch(`http://127.0.0.1:${this.port}/metrics`, { headers: { Connection: 'close' } });
    if (answer.status !== 200) throw new Error(`the metrics are answered ${answer.status}`);
    return parseExposition(await answer.text());
  }

  async cut(): Promise<void> {
    await Promise.all(this.clients.map((client) => client.cut()));
  }
}

/** Connects again and again, no faster than an address may; `end` gives how often it was answered what. */
function knockAt({ port }: Node): { end: () => Promise<Map<number, number>> } {
  const statuses = new Map<number, number>();
  const ended = new AbortController();
  const knock = async () => {
    while (!ended.signal.aborted) {
      const { status } = await rawUpgrade(port, { path: PATH });
      statuses.set(status, (statuses.get(status) ?? 0) + 1);
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
  };
  const knocking = knock();
  // Looked at when it has ended.
  knocking.catch(() => {});
  return {
    end: async () => {
      ended.abort();
      await knocking;
      return statuses;
    },
  };
}

/** What each worker tells of one metric. */
function ofWorkers(exposition: Exposition, name: string, labels = {}): number[] {
  return [1, 2].map((worker) => valueOf(exposition, name, { worker: String(worker), ...labels }));
}

function isAlive(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
}

describeWithRedis('PUSH_WORKERS', () => {
  let redis: RedisServer;
  let app: CompiledApp;
  let place: { PUSH_REDIS_URL: string; PUSH_REDIS_PREFIX: string };
  let nodes: Node[];
  let tests = 0;

  beforeAll(async () => {
    [redis, app] = await Promise.all([RedisServer.start(), CompiledApp.compile()]);
  });
  afterAll(async () => {
    await redis.stop();
    await app.remove();
  });
  beforeEach(() => {
    nodes = [];
    place = { PUSH_REDIS_URL: redis.url, PUSH_REDIS_PREFIX: `test-${(tests += 1)}` };
  });
  afterEach(() => Promise.all(nodes.map((node) => node.cut())));

  async function start(environment: Readonly<Record<string, string>> = {}): Promise<Node> {
    const node = await Node.start(app, { ...place, ...environment });
    nodes.push(node);
    return node;
  }

  test('clients of both workers get what is pushed to either, and SIGTERM ends all in order', async () => {
    const node = await start();
    const clients = await node.connectToBoth();
    for (let n = 0; n < 4; n++) expect(await node.push({ ...DATUM, n })).toBe(202);
    for (const client of clients) {
      const heard = [0, 1, 2, 3].map(async () => (await client.nextEvent('rawData')).data['n']);
      expect(new Set(await Promise.all(heard))).toEqual(new Set([0, 1, 2, 3]));
    }
    node.process.kill('SIGTERM');
    for (const { closed } of clients) expect(await within(closed, 'it is closed', 10_000)).toEqual(DRAIN);
    expect(await within(node.process.exited, 'it ends', 10_000)).toBe(0);
    expect(node.workerPids.filter(isAlive)).toEqual([]);
    expect(node.process.having(/ERROR|FATAL/)).toEqual([]);
  });

  test('one worker runs the demo; one that dies is replaced, and so is its demo', async () => {
    const node = await start({ PUSH_DEMO: 'true' });
    const hostPath = `/ws/rowdata/host/${hostBusinessId()}/ann`;
    const client = await node.connect(hostPath);
    const times: number[] = [];
    while (times.length < 6) {
      const { data } = await client.nextEvent('rawData');
      if (data['series'] === 'cpu.total') times.push(data['at'] as number);
    }
    // One a second; of two workers it would be two.
    expect((times[5] ?? 0) - (times[0] ?? 0)).toBeGreaterThan(4000);
    const [first = 0, second = 0] = node.workerPids;
    process.kill(first, 'SIGKILL');
    await node.process.logged(/^\[primary\].*worker 1 ended with SIGKILL, and is replaced/);
    expect((await rawUpgrade(node.port, { path: PATH })).status).toBe(101);
    await node.process.logged(/^\[worker 1\].*listening on/, 2);
    expect(node.workerPids[1]).toBe(second);
    const again = await node.connect(hostPath);
    expect((await again.nextEvent('rawData')).data).toMatchObject({ businessType: 'host' });
    // The dead one is known until its entry expires.
    const { nodes: alive, unanswered } = await node.listed();
    expect(alive).toHaveLength(2);
    expect(unanswered.length).toBeLessThanOrEqual(1);
    process.kill(second, 'SIGTERM');
    await node.process.logged(/^\[primary\].*worker 2 ended with code 0, and is replaced/);
    await node.process.logged(/^\[worker 2\].*listening on/, 2);
  });

  test('each scrape has the metrics of both workers; one that stands still is left out, one that is new has its number', async () => {
    const node = await start();
    await node.connectToBoth();
    let cpuSeconds = [0, 0];
    for (let n = 0; n < 4; n++) {
      const exposition = await node.scrape();
      expect(ofWorkers(exposition, 'push_worker_up')).toEqual([1, 1]);
      const connections = ofWorkers(exposition, 'push_connections', { push_gateway: 'rawData' });
      expect([connections.includes(0), connections.reduce((sum, each) => sum + each)]).toEqual([false, 4]);
      const now = ofWorkers(exposition, 'process_cpu_time_total', { cpu_mode: 'user' });
      expect(now.filter((seconds, index) => seconds < (cpuSeconds[index] ?? 0))).toEqual([]);
      cpuSeconds = now;
    }

    const [, second = 0] = node.workerPids;
    process.kill(second, 'SIGSTOP');
    // One of them at most is dealt out to the worker that stands still.
    const scrapes = [node.scrape(), node.scrape(), node.scrape()];
    const without = await within(Promise.any(scrapes), 'an answer', DEADLINE_MS);
    expect(ofWorkers(without, 'push_worker_up')).toEqual([1, 0]);
    expect(without.samples.filter(({ labels }) => labels['worker'] !== '1')).toHaveLength(1);
    process.kill(second, 'SIGCONT');
    await within(Promise.all(scrapes), 'all answers', DEADLINE_MS);

    process.kill(second, 'SIGKILL');
    await node.process.logged(LISTENING, 3, DEADLINE_MS);
    const after = await node.scrape();
    expect(ofWorkers(after, 'push_worker_up')).toEqual([1, 1]);
    const [uptime = 0, newUptime = 0] = ofWorkers(after, 'process_uptime');
    expect(newUptime).toBeLessThan(uptime);
    expect(new Set(after.samples.map(({ labels }) => labels['worker']))).toEqual(new Set(['1', '2']));
  });

  test('SIGHUP replaces the workers one after the other and refuses nobody; the end of the primary ends them', async () => {
    const node = await start();
    const before = node.workerPids;
    const clients = await node.connectToBoth();
    const env = join(app.folder, '.env');

    await writeFile(env, 'PUSH_MAX_CONNECTIONS=many\n');
    node.process.kill('SIGHUP');
    await node.process.logged(/^\[primary\].*the new worker 1 did not start: those that run go on as they are/);
    await node.process.logged(/^\[worker 1\].*cannot start/);
    expect(node.process.having(/^\[worker 1\].*cannot start/)).toHaveLength(1);
    expect(before.map(isAlive)).toEqual([true, true]);

    await writeFile(env, 'PUSH_PUBLISH_KEY=new-since-the-start\n');
    const knocking = knockAt(node);
    node.process.kill('SIGHUP');
    for (const { closed } of clients) expect(await within(closed, 'it is closed', DEADLINE_MS)).toEqual(DRAIN);
    await until(() => !before.some(isAlive), 'the old ones have ended', DEADLINE_MS);
    const statuses = await knocking.end();
    expect([...statuses.keys()]).toEqual([101]);
    expect(statuses.get(101)).toBeGreaterThan(20);
    const after = node.workerPids;
    expect(after.filter((pid) => before.includes(pid) || !isAlive(pid))).toEqual([]);
    // By the new settings.
    expect(await node.push(DATUM)).toBe(401);

    node.process.kill('SIGKILL');
    await until(() => !after.some(isAlive), 'the workers have ended');
    await writeFile(env, '');
  });

  test('without Redis it is refused, with a sentence that says why', async () => {
    const refused = Node.run(app, { PORT: '0' });
    expect(await within(refused.exited, 'it ends', DEADLINE_MS)).toBe(1);
    expect(refused.lines.join('\n')).toContain(
      'PUSH_WORKERS=2 needs PUSH_REDIS_URL: each worker is a node with clients of its own, and only Redis carries what is ' +
        'pushed on one of them to the others',
    );
  });

  test('workers that cannot start end the process after some tries', async () => {
    const taken = createServer().listen(0, '127.0.0.1');
    try {
      await once(taken, 'listening');
      const { port } = taken.address() as AddressInfo;
      const refused = Node.run(app, { ...place, PORT: String(port) });
      // Five starts of each, one behind the other.
      expect(await within(refused.exited, 'it ends', 3 * DEADLINE_MS)).toBe(1);
      // Each for itself five times, unless the other one was faster.
      await refused.logged(/^\[worker \d\].*cannot start: bind EADDRINUSE/, 5);
      await refused.logged(/^\[primary\].*the workers end again and again as soon as they start/);
    } finally {
      taken.close();
    }
  });
});
