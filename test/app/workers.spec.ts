import { EventEmitter } from 'node:events';
import type { Worker } from 'node:cluster';
import { afterEach, beforeEach, describe, expect, jest, test } from '@jest/globals';
import type { WorkerOrder, WorkerReport } from '../../src/app/worker.messages.js';
import { Workers } from '../../src/app/workers.js';
import { LogCapture } from '../support/log.capture.js';

const STOP_DEADLINE_MS = 15_000;

/** What the primary process sees of a worker's process. */
class FakeWorker extends EventEmitter {
  readonly orders: WorkerOrder[] = [];
  readonly signals: string[] = [];
  hasEnded = false;
  readonly process: { pid: number | undefined; kill: (signal: string) => void } = {
    pid: 1,
    kill: (signal) => this.signals.push(signal),
  };

  constructor(readonly number: number) {
    super();
  }

  isConnected(): boolean {
    return !this.hasEnded;
  }

  get kinds(): string[] {
    return this.orders.map(({ kind }) => kind);
  }

  send(order: WorkerOrder): void {
    this.orders.push(order);
  }

  report(report: WorkerReport): void {
    this.emit('message', report);
  }

  async listen(): Promise<void> {
    this.emit('listening');
    await settle();
  }

  async end(code: number | null = 1, signal: string | null = null): Promise<void> {
    this.hasEnded = true;
    this.emit('exit', code, signal);
    await settle();
  }
}

async function settle(): Promise<void> {
  await jest.advanceTimersByTimeAsync(0);
}

/** As Node gives it where a process cannot be spawned: an error, and never an exit. */
class UnspawnedWorker extends FakeWorker {
  constructor(number: number) {
    super(number);
    this.process.pid = undefined;
    this.hasEnded = true;
    void Promise.resolve().then(() => this.emit('error', new Error('spawn EAGAIN')));
  }
}

let forked: FakeWorker[];
/** What the next forks are. */
let create: (number: number) => FakeWorker;
let workers: Workers;
let exitCode: number | undefined;
let log: LogCapture;

beforeEach(() => {
  jest.useFakeTimers();
  log = LogCapture.start();
  forked = [];
  create = (number) => new FakeWorker(number);
  exitCode = undefined;
});

afterEach(() => {
  jest.useRealTimers();
  log.stop();
});

async function run(count: number): Promise<void> {
  workers = new Workers({
    count,
    stopDeadlineMs: STOP_DEADLINE_MS,
    fork: (number) => {
      const worker = create(number);
      forked.push(worker);
      return worker as unknown as Worker;
    },
  });
  void workers.run().then((code) => (exitCode = code));
  await settle();
}

/** The one that was forked last with this number. */
function latest(number: number): FakeWorker {
  const found = forked.findLast((worker) => worker.number === number);
  if (found === undefined) throw new Error(`worker ${number} was not forked`);
  return found;
}

const numbers = () => forked.map(({ number }) => number);

describe('a worker that ends', () => {
  test('is replaced by one of its number, after a pause that doubles up to 5 s', async () => {
    await run(2);
    await latest(2).listen();
    expect(numbers()).toEqual([1, 2]);
    const pauses: number[] = [];
    for (let n = 0; n < 8; n++) {
      const count = forked.length;
      await latest(1).end();
      let pauseMs = 0;
      for (; forked.length === count; pauseMs += 50) await jest.advanceTimersByTimeAsync(50);
      pauses.push(pauseMs);
    }
    expect(pauses).toEqual([100, 200, 400, 800, 1600, 3200, 5000, 5000]);
    expect(new Set(numbers().slice(2))).toEqual(new Set([1]));
    expect(exitCode).toBeUndefined();
  });

  test('at once and without a pause where it has listened for 10 s', async () => {
    await run(1);
    for (let n = 0; n < 3; n++) {
      await latest(1).listen();
      await jest.advanceTimersByTimeAsync(10_000);
      await latest(1).end(null, 'SIGKILL');
      expect(forked).toHaveLength(n + 2);
    }
    expect(log.of('Workers')).toContain('worker 1 ended with SIGKILL, and is replaced');
  });

  test('as one that fails, however long it took to start', async () => {
    await run(1);
    for (let n = 0; n < 5; n++) {
      await jest.advanceTimersByTimeAsync(20_000);
      await latest(1).end();
    }
    expect([forked.length, exitCode]).toEqual([5, 1]);
  });

  test('five times as soon as it starts ends all with 1, if nobody listens', async () => {
    await run(2);
    for (let n = 0; n < 5; n++) {
      await latest(1).end();
      await jest.advanceTimersByTimeAsync(5000);
    }
    expect(forked.filter(({ number }) => number === 1)).toHaveLength(5);
    expect(latest(2).signals).toEqual(['SIGTERM']);
    expect(exitCode).toBeUndefined();
    await latest(2).end(null, 'SIGTERM');
    expect(exitCode).toBe(1);
    expect(log.lines.filter(({ level }) => level === 'fatal')).toHaveLength(1);
  });

  test.each([
    ['an error, and no exit', (number: number) => new UnspawnedWorker(number)],
    [
      'an exception',
      () => {
        throw new Error('spawn EAGAIN');
      },
    ],
  ])('as one that cannot be spawned, where that is told by %s', async (_, fail) => {
    await run(2);
    await latest(2).listen();
    const startedAtMs = Date.now();
    const triedAtMs: number[] = [];
    create = (number) => {
      triedAtMs.push(Date.now() - startedAtMs);
      return fail(number);
    };
    await latest(1).end();
    await jest.advanceTimersByTimeAsync(20_000);
    expect(triedAtMs).toEqual([100, 300, 700, 1500, 3100, 6300, 11_300, 16_300]);
    const lines = log.of('Workers').filter((line) => line.startsWith('worker 1 could'));
    expect(new Set(lines)).toEqual(new Set(['worker 1 could not be started: spawn EAGAIN, and is replaced']));
    create = (number) => new FakeWorker(number);
    await jest.advanceTimersByTimeAsync(5000);
    await latest(1).listen();
    expect(exitCode).toBeUndefined();
    workers.stop();
    for (const number of [1, 2]) await latest(number).end(0);
    expect(exitCode).toBe(0);
    expect(jest.getTimerCount()).toBe(0);
  });

  test('and none can be spawned: ends with 1', async () => {
    create = (number) => new UnspawnedWorker(number);
    await run(2);
    await jest.advanceTimersByTimeAsync(20_000);
    expect(exitCode).toBe(1);
    expect(jest.getTimerCount()).toBe(0);
  });

  test('an error of its channel is told, and harms nobody', async () => {
    await run(1);
    latest(1).emit('error', new Error('EPIPE'));
    expect(log.of('Workers')).toEqual(['worker 1 cannot be reached: EPIPE']);
  });
});

describe('the telemetry', () => {
  test('is for the first worker, once it listens, and for whoever replaces it', async () => {
    await run(2);
    await latest(2).listen();
    expect([latest(1).kinds, latest(2).kinds]).toEqual([[], []]);
    await latest(1).listen();
    expect([latest(1).kinds, latest(2).kinds]).toEqual([['runTelemetry'], []]);
    await latest(1).end();
    await jest.advanceTimersByTimeAsync(100);
    expect(latest(1).kinds).toEqual([]);
    await latest(1).listen();
    expect(latest(1).kinds).toEqual(['runTelemetry']);
  });
});

describe('stop', () => {
  test('ends the pause before a worker is tried again', async () => {
    await run(2);
    await latest(2).listen();
    for (let n = 0; n < 8; n++) {
      await latest(1).end();
      await jest.advanceTimersByTimeAsync(n < 7 ? 5000 : 0);
    }
    expect(jest.getTimerCount()).toBe(1);
    workers.stop();
    await latest(2).end(0);
    expect([exitCode, jest.getTimerCount()]).toEqual([0, 0]);
  });

  test('ends all in order, those that are waited for too, and resolves to 0', async () => {
    await run(3);
    await latest(1).listen();
    await latest(3).end();
    workers.stop();
    workers.stop();
    expect([latest(1).signals, latest(2).signals]).toEqual([['SIGTERM'], ['SIGTERM']]);
    await latest(1).end(0);
    expect(exitCode).toBeUndefined();
    await latest(2).end(null, 'SIGTERM');
    expect(exitCode).toBe(0);
    await jest.advanceTimersByTimeAsync(60_000);
    expect(numbers()).toEqual([1, 2, 3]);
    expect(jest.getTimerCount()).toBe(0);
  });

  test('kills whoever does not end in time, and resolves to 1', async () => {
    await run(1);
    await latest(1).listen();
    workers.stop();
    await jest.advanceTimersByTimeAsync(STOP_DEADLINE_MS - 1);
    expect(latest(1).signals).toEqual(['SIGTERM']);
    await jest.advanceTimersByTimeAsync(1);
    expect(latest(1).signals).toEqual(['SIGTERM', 'SIGKILL']);
    await latest(1).end(null, 'SIGKILL');
    expect(exitCode).toBe(1);
  });
});

async function runAndListen(): Promise<[FakeWorker, FakeWorker]> {
  await run(2);
  await latest(1).listen();
  await latest(2).listen();
  return [latest(1), latest(2)];
}

describe('roll', () => {
  test('replaces one after the other: the old one goes when the new one listens', async () => {
    const [first, second] = await runAndListen();
    const rolled = workers.roll();
    await settle();
    const newFirst = latest(1);
    expect([numbers(), first.kinds]).toEqual([[1, 2, 1], ['runTelemetry']]);
    await newFirst.listen();
    expect(first.kinds).toEqual(['runTelemetry', 'retire']);
    expect([numbers(), newFirst.kinds]).toEqual([[1, 2, 1], []]);
    await first.end(0);
    // Only then there is nobody else who runs it.
    expect(newFirst.kinds).toEqual(['runTelemetry']);
    expect(numbers()).toEqual([1, 2, 1, 2]);
    await latest(2).listen();
    expect(second.kinds).toEqual(['retire']);
    await second.end(0);
    await rolled;
    await jest.advanceTimersByTimeAsync(60_000);
    expect(numbers()).toEqual([1, 2, 1, 2]);
    expect([first.signals, second.signals]).toEqual([[], []]);
    await newFirst.end();
    await jest.advanceTimersByTimeAsync(5000);
    expect(numbers()).toEqual([1, 2, 1, 2, 1]);
  });

  test('ends where a new one does not start; those that run go on', async () => {
    const [first, second] = await runAndListen();
    const rolled = workers.roll();
    await settle();
    await latest(1).end();
    await rolled;
    await jest.advanceTimersByTimeAsync(60_000);
    expect(numbers()).toEqual([1, 2, 1]);
    expect([first.kinds, second.kinds]).toEqual([['runTelemetry'], []]);
  });

  test('ends where a new one cannot be spawned', async () => {
    const [first, second] = await runAndListen();
    create = (number) => new UnspawnedWorker(number);
    await workers.roll();
    await jest.advanceTimersByTimeAsync(60_000);
    expect(numbers()).toEqual([1, 2, 1]);
    expect([first.kinds, second.kinds]).toEqual([['runTelemetry'], []]);
  });

  test('one at a time', async () => {
    await runAndListen();
    void workers.roll();
    void workers.roll();
    await settle();
    expect(numbers()).toEqual([1, 2, 1]);
  });

  test('an old one that dies meanwhile leaves one in its place', async () => {
    const [first] = await runAndListen();
    void workers.roll();
    await settle();
    const next = latest(1);
    await first.end(null, 'SIGKILL');
    await jest.advanceTimersByTimeAsync(100);
    const between = latest(1);
    expect(between).not.toBe(next);
    await next.listen();
    expect(between.signals).toEqual(['SIGTERM']);
    await between.end(null, 'SIGTERM');
    await latest(2).listen();
    expect(next.hasEnded).toBe(false);
    expect(numbers()).toEqual([1, 2, 1, 1, 2]);
  });

  test('one that does not retire in time is killed, and all goes on', async () => {
    const [first] = await runAndListen();
    void workers.roll();
    await settle();
    await latest(1).listen();
    await jest.advanceTimersByTimeAsync(STOP_DEADLINE_MS);
    expect(first.signals).toEqual(['SIGKILL']);
    await first.end(null, 'SIGKILL');
    expect(numbers()).toEqual([1, 2, 1, 2]);
    expect(exitCode).toBeUndefined();
  });

  test('ends with all where it is stopped in between', async () => {
    const [first, second] = await runAndListen();
    const rolled = workers.roll();
    await settle();
    workers.stop();
    expect(forked.map(({ signals }) => signals)).toEqual([['SIGTERM'], ['SIGTERM'], ['SIGTERM']]);
    for (const worker of [first, second, latest(1)]) await worker.end(0);
    await rolled;
    expect([exitCode, forked.length]).toEqual([0, 3]);
  });
});

async function ask(worker: FakeWorker, n: number): Promise<void> {
  worker.report({ kind: 'askMetricsOfAll', n });
  await settle();
}

/** Answers what it was asked last. */
async function answer(worker: FakeWorker, text: string | null): Promise<void> {
  const order = worker.orders.at(-1);
  if (order?.kind !== 'tellMetrics') throw new Error(`worker ${worker.number} was not asked`);
  worker.report({ kind: 'ownMetrics', n: order.n, text });
  await settle();
}

const told = (worker: FakeWorker) => worker.orders.filter(({ kind }) => kind === 'metricsOfAll');

describe('the metrics of all', () => {
  test('are asked of each worker, and told to the one that asked', async () => {
    const [first, second] = await runAndListen();
    await ask(second, 7);
    await answer(second, 'b');
    expect(second.kinds).toEqual(['tellMetrics']);
    await answer(first, 'a');
    expect(second.orders.at(-1)).toEqual({ kind: 'metricsOfAll', n: 7, texts: ['a', 'b'] });
    expect(first.kinds).toEqual(['runTelemetry', 'tellMetrics']);
    expect(jest.getTimerCount()).toBe(0);
  });

  test('are asked once for all who ask meanwhile, and anew for the next', async () => {
    const [first, second] = await runAndListen();
    await ask(first, 1);
    await ask(second, 2);
    await ask(first, 3);
    await answer(second, 'b');
    await answer(first, 'a');
    const texts = ['a', 'b'];
    expect(told(first)).toEqual([1, 3].map((n) => ({ kind: 'metricsOfAll', n, texts })));
    expect(told(second)).toEqual([{ kind: 'metricsOfAll', n: 2, texts }]);
    await ask(first, 4);
    await answer(first, 'c');
    await answer(second, null);
    expect(told(first).at(-1)).toEqual({ kind: 'metricsOfAll', n: 4, texts: ['c', null] });
  });

  test("go without a worker that does not answer within a second, and its late answer is no other question's", async () => {
    const [first, second] = await runAndListen();
    await ask(first, 1);
    const late = second.orders.at(-1);
    await answer(first, 'a');
    await jest.advanceTimersByTimeAsync(999);
    expect(first.kinds).not.toContain('metricsOfAll');
    await jest.advanceTimersByTimeAsync(1);
    expect(first.orders.at(-1)).toEqual({ kind: 'metricsOfAll', n: 1, texts: ['a', null] });
    await ask(first, 2);
    if (late?.kind === 'tellMetrics') second.report({ kind: 'ownMetrics', n: late.n, text: 'late' });
    await answer(first, 'a');
    await answer(second, 'b');
    expect(first.orders.at(-1)).toEqual({ kind: 'metricsOfAll', n: 2, texts: ['a', 'b'] });
  });

  test('go without a worker that does not listen yet, or has ended', async () => {
    await run(3);
    await latest(1).listen();
    await latest(3).listen();
    await latest(3).end();
    await ask(latest(1), 1);
    await answer(latest(1), 'a');
    expect(latest(1).orders.at(-1)).toEqual({ kind: 'metricsOfAll', n: 1, texts: ['a', null, null] });
    expect(latest(2).orders).toEqual([]);
  });

  test('are those of the new one from when it has taken over', async () => {
    const [first, second] = await runAndListen();
    void workers.roll();
    await settle();
    await ask(second, 1);
    await answer(second, 'b');
    await answer(first, 'old');
    expect(second.orders.at(-1)).toMatchObject({ texts: ['old', 'b'] });
    await latest(1).listen();
    await ask(first, 2);
    await answer(second, 'b');
    await answer(latest(1), 'new');
    expect(first.orders.at(-1)).toMatchObject({ texts: ['new', 'b'] });
  });
});
