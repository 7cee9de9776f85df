import { type ChildProcess, spawn } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { Agent, request } from 'node:http';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { sleep } from './clock.js';

const START_DEADLINE_MS = 30_000;
const END_DEADLINE_MS = 15_000;
/** Of the times in /proc/<pid>/stat, see proc(5). */
const MICROS_A_CLOCK_TICK = 10_000;
const running = new Set<ChildProcess>();

/** Kills every node that is left, its workers with it. */
export function killWorkerNodes(): void {
  for (const child of running) child.kill('SIGKILL');
}

/** The node of the app, as it is shipped, with so many workers on one port. */
export class WorkerNode {
  private readonly agent = new Agent({ keepAlive: true, maxSockets: 1 });

  private constructor(
    private readonly child: ChildProcess,
    readonly port: number,
  ) {}

  static async start(workers: number, redisUrl: string, port: number): Promise<WorkerNode> {
    const main = fileURLToPath(new URL('../../src/main.js', import.meta.url));
    const { PATH = '' } = process.env;
    const child = spawn(process.execPath, [main], {
      stdio: ['ignore', 'pipe', 'inherit'],
      env: {
        PATH,
        NODE_ENV: 'production',
        PORT: String(port),
        PUSH_WORKERS: String(workers),
        PUSH_REDIS_URL: redisUrl,
        PUSH_REDIS_PREFIX: `workers-${workers}`,
        PUSH_DEMO: 'false',
        PUSH_MAX_CONNECTIONS_PER_IP: '10000',
      },
    });
    running.add(child);
    child.once('exit', () => running.delete(child));
    // Read on, or a full pipe would hold the node up.
    let listening = 0;
    createInterface({ input: child.stdout }).on('line', (line) => (listening += line.includes('listening on') ? 1 : 0));
    const deadlineMs = performance.now() + START_DEADLINE_MS;
    const isMissing = () => listening < workers;
    while (isMissing()) {
      if (performance.now() > deadlineMs) throw new Error(`${listening} of ${workers} workers listen`);
      await sleep(20);
    }
    return new WorkerNode(child, port);
  }

  /** CPU time of the process and its workers so far. */
  cpuMicros(): number {
    const pids = [this.child.pid ?? 0, ...childrenOf(this.child.pid ?? 0)];
    return pids.reduce((sum, pid) => sum + cpuMicrosOf(pid), 0);
  }

  /** Pushes raw data in one request; one of the workers gets it. */
  push(data: readonly object[]): Promise<void> {
    return new Promise((resolve, reject) => {
      const headers = { 'Content-Type': 'application/json' };
      const options = { host: '127.0.0.1', port: this.port, path: '/push/raw-data', method: 'POST', headers };
      const sent = request({ ...options, agent: this.agent }, (response) => {
        response.resume().on('end', () => {
          if (response.statusCode === 202) resolve();
          else reject(new Error(`a push was answered ${response.statusCode}`));
        });
      });
      sent.on('error', reject);
      sent.end(JSON.stringify(data));
    });
  }

  async end(): Promise<void> {
    this.agent.destroy();
    const ended = new Promise((resolve) => this.child.once('exit', resolve));
    this.child.kill('SIGTERM');
    const timer = setTimeout(() => this.child.kill('SIGKILL'), END_DEADLINE_MS);
    await ended;
    clearTimeout(timer);
  }
}

function childrenOf(parent: number): number[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map(Number)
    .filter((pid) => Number(statOf(pid)?.[1]) === parent);
}

/** The fields from the third on; undefined where the process has ended. */
function statOf(pid: number): string[] | undefined {
  try {
    return readFileSync(`/proc/${pid}/stat`, 'latin1').split(') ').at(-1)?.split(' ');
  } catch {
    return undefined;
  }
}

/** utime and stime. */
function cpuMicrosOf(pid: number): number {
  const [user = 0, system = 0] = statOf(pid)?.slice(11, 13).map(Number) ?? [];
  return (user + system) * MICROS_A_CLOCK_TICK;
}
