import { afterEach, beforeEach, describe, expect, jest, test } from '@jest/globals';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { FlushLane, FlushQueue, type Flushable } from '../../src/fan-out/flush-queue.js';

class Recorder implements Flushable {
  readonly flushNumbers: number[] = [];

  constructor(
    private readonly name: string,
    private readonly log: string[],
    private readonly onFlush: () => void = () => {},
  ) {}

  flush(flushNumber: number): void {
    this.flushNumbers.push(flushNumber);
    this.log.push(this.name);
    this.onFlush();
  }
}

let queue: FlushQueue;
let log: string[];

beforeEach(() => {
  queue = new FlushQueue({ flushIntervalMs: 0 });
  log = [];
});

afterEach(() => {
  queue.close();
  jest.restoreAllMocks();
  jest.useRealTimers();
});

const recorder = (name: string, onFlush?: () => void) => new Recorder(name, log, onFlush);

describe('FlushQueue', () => {
  test('flushes at the end of the tick, each client once', async () => {
    const client = recorder('a');
    queue.rawData.mark(client);
    queue.rawData.mark(recorder('b'));
    expect(log).toEqual([]);
    await nextTurn();
    expect(log).toEqual(['a', 'b']);
    await nextTurn();
    expect(log).toEqual(['a', 'b']);
  });

  test('alarms go first, whoever was marked first', async () => {
    queue.rawData.mark(recorder('raw 1'));
    queue.alarms.mark(recorder('alarm 1'));
    queue.rawData.mark(recorder('raw 2'));
    queue.alarms.mark(recorder('alarm 2'));
    await nextTurn();
    expect(log).toEqual(['alarm 1', 'alarm 2', 'raw 1', 'raw 2']);
  });

  test('all clients of a flush get the same number, those of the next a higher one', async () => {
    const clients = [recorder('a'), recorder('b')];
    for (const client of clients) queue.rawData.mark(client);
    queue.alarms.mark(recorder('c', () => {}));
    await nextTurn();
    for (const client of clients) queue.rawData.mark(client);
    await nextTurn();
    const [first = 0, second = 0] = clients[0]?.flushNumbers ?? [];
    expect(second).toBeGreaterThan(first);
    expect(clients[1]?.flushNumbers).toEqual([first, second]);
  });

  test('what is marked while a flush runs is flushed in the next one, also the client itself', async () => {
    const again = recorder('again');
    const late = recorder('late');
    const first = recorder('first', () => {
      if (log.length > 1) return;
      queue.rawData.mark(again);
      queue.alarms.mark(late);
    });
    queue.rawData.mark(first);
    await nextTurn();
    expect(log).toEqual(['first']);
    await nextTurn();
    expect(log).toEqual(['first', 'late', 'again']);
  });

  test('flushIntervalMs holds raw data back, and alarms not', () => {
    jest.useFakeTimers();
    queue = new FlushQueue({ flushIntervalMs: 100 });
    queue.rawData.mark(recorder('raw 1'));
    jest.advanceTimersByTime(50);
    queue.alarms.mark(recorder('alarm'));
    queue.rawData.mark(recorder('raw 2'));
    jest.advanceTimersByTime(1);
    expect(log).toEqual(['alarm']);
    jest.advanceTimersByTime(48);
    expect(log).toEqual(['alarm']);
    jest.advanceTimersByTime(2);
    expect(log).toEqual(['alarm', 'raw 1', 'raw 2']);
  });

  test('raw data marked during an interval flush wait for the next interval', () => {
    jest.useFakeTimers();
    queue = new FlushQueue({ flushIntervalMs: 100 });
    const later = recorder('later');
    queue.rawData.mark(recorder('now', () => queue.rawData.mark(later)));
    jest.advanceTimersByTime(101);
    expect(log).toEqual(['now']);
    jest.advanceTimersByTime(98);
    expect(log).toEqual(['now']);
    jest.advanceTimersByTime(3);
    expect(log).toEqual(['now', 'later']);
  });

  test('nothing is scheduled while nobody is dirty', () => {
    jest.useFakeTimers();
    const interval = new FlushQueue({ flushIntervalMs: 100 });
    expect(jest.getTimerCount()).toBe(0);
    interval.rawData.mark(recorder('a'));
    queue.alarms.mark(recorder('b'));
    expect(jest.getTimerCount()).toBe(2);
    jest.advanceTimersByTime(200);
    expect(log).toEqual(['b', 'a']);
    expect(jest.getTimerCount()).toBe(0);
  });

  test('close ends what was scheduled', () => {
    jest.useFakeTimers();
    queue = new FlushQueue({ flushIntervalMs: 100 });
    queue.rawData.mark(recorder('a'));
    queue.alarms.mark(recorder('b'));
    queue.close();
    expect(jest.getTimerCount()).toBe(0);
    jest.advanceTimersByTime(1000);
    expect(log).toEqual([]);
  });

  test('tells how long each lane took to flush all who were in line, and nothing of an empty one', () => {
    let nowMs = 1000;
    jest.spyOn(performance, 'now').mockImplementation(() => nowMs);
    const told: [string, number][] = [];
    queue.observe((lane, durationMs) => told.push([lane, durationMs]));
    queue.alarms.mark(recorder('alarm', () => (nowMs += 2)));
    queue.rawData.mark(recorder('raw', () => (nowMs += 3)));
    queue.flushAll();
    expect(told).toEqual([
      ['alarms', 2],
      ['rawData', 5],
    ]);
    queue.catchUp.mark(recorder('behind', () => (nowMs += 4)));
    queue.flushAll();
    expect(told.slice(2)).toEqual([['catchUp', 4]]);
  });

  test('a flush in slices is told once, from its beginning to its end', async () => {
    let nowMs = 1000;
    jest.spyOn(performance, 'now').mockImplementation(() => nowMs);
    const told: [string, number][] = [];
    queue.observe((lane, durationMs) => told.push([lane, durationMs]));
    for (let n = 0; n < 40; n++) queue.rawData.mark(recorder(`${n}`, () => (nowMs += 1)));
    await nextTurn();
    expect([log.length, told]).toEqual([16, []]);
    await nextTurn();
    await nextTurn();
    expect([log.length, told]).toEqual([40, [['rawData', 40]]]);
  });

  test('flushSoon takes raw data along with the next tick, whatever the interval', () => {
    jest.useFakeTimers();
    queue = new FlushQueue({ flushIntervalMs: 60_000 });
    queue.rawData.mark(recorder('raw'));
    queue.flushSoon();
    expect(log).toEqual([]);
    jest.advanceTimersByTime(1);
    expect(log).toEqual(['raw']);
  });

  test('flushAll flushes both lanes now, also what becomes dirty meanwhile, whatever the interval', () => {
    queue = new FlushQueue({ flushIntervalMs: 60_000 });
    let rounds = 0;
    jest.spyOn(performance, 'now').mockImplementation(() => {
      if (++rounds > 1000) throw new Error('flushAll does not end');
      return rounds;
    });
    const last = recorder('last');
    queue.rawData.mark(recorder('raw', () => queue.rawData.mark(last)));
    queue.alarms.mark(recorder('alarm'));
    queue.flushAll();
    expect(log).toEqual(['alarm', 'raw', 'last']);
    expect(queue.rawData.isIdle && queue.alarms.isIdle).toBe(true);
  });

  describe('a long flush', () => {
    const SLICE_COST_MS = 1;
    const CLIENTS = 1000;
    let nowMs: number;

    beforeEach(() => {
      nowMs = 0;
      jest.spyOn(performance, 'now').mockImplementation(() => nowMs);
    });

    const slow = (name: string) => recorder(name, () => (nowMs += SLICE_COST_MS));

    test('lets the event loop go on and continues in later slices', async () => {
      for (let i = 0; i < CLIENTS; i++) queue.rawData.mark(slow(`${i}`));
      let slices = 0;
      let longestSliceMs = 0;
      while (log.length < CLIENTS) {
        const before = { flushed: log.length, nowMs };
        await nextTurn();
        expect(log.length).toBeGreaterThan(before.flushed);
        longestSliceMs = Math.max(longestSliceMs, nowMs - before.nowMs);
        slices += 1;
      }
      expect(slices).toBeGreaterThanOrEqual(10);
      expect(longestSliceMs).toBeLessThanOrEqual(64);
      expect(log).toEqual(Array.from({ length: CLIENTS }, (_, i) => `${i}`));
    });

    test('is overtaken by alarms', async () => {
      for (let i = 0; i < CLIENTS; i++) queue.rawData.mark(slow('raw'));
      await nextTurn();
      const flushed = log.length;
      queue.alarms.mark(slow('alarm'));
      await nextTurn();
      expect(log.indexOf('alarm')).toBe(flushed);
      while (log.length < CLIENTS + 1) await nextTurn();
      expect(log.filter((name) => name === 'raw')).toHaveLength(CLIENTS);
    });

    test('does not flush a client again before all others had their turn', async () => {
      const greedy: Flushable = {
        flush: () => {
          log.push('greedy');
          nowMs += SLICE_COST_MS;
          queue.rawData.mark(greedy);
        },
      };
      queue.rawData.mark(greedy);
      for (let i = 0; i < CLIENTS; i++) queue.rawData.mark(slow('raw'));
      while (log.filter((name) => name === 'raw').length < CLIENTS) await nextTurn();
      expect(log.filter((name) => name === 'greedy')).toHaveLength(1);
    });

    test('is finished by flushAll', async () => {
      for (let i = 0; i < CLIENTS; i++) queue.rawData.mark(slow('raw'));
      await nextTurn();
      expect(log.length).toBeLessThan(CLIENTS);
      queue.flushAll();
      expect(log).toHaveLength(CLIENTS);
    });
  });
});

describe('FlushLane', () => {
  test('says when it becomes dirty, once a flush', () => {
    const onDirty = jest.fn();
    const lane = new FlushLane(onDirty, 0, () => 1);
    lane.mark(recorder('a'));
    lane.mark(recorder('b'));
    expect(onDirty).toHaveBeenCalledTimes(1);
    expect(lane.run(1, 0, Infinity)).toBe(true);
    lane.mark(recorder('c'));
    expect(onDirty).toHaveBeenCalledTimes(2);
  });

  test('batches of a new flush begin at a new root, so that written frames are not kept alive', () => {
    const lane = new FlushLane(
      () => {},
      0,
      () => 1,
    );
    const root = lane.root;
    lane.mark(recorder('a'));
    lane.run(1, 0, Infinity);
    expect(lane.root).not.toBe(root);
  });

  test('keeps nothing of the clients it has flushed', async () => {
    const { setFlagsFromString } = await import('node:v8');
    const { runInNewContext } = await import('node:vm');
    setFlagsFromString('--expose-gc');
    const collect = runInNewContext('gc') as () => void;
    const lane = new FlushLane(
      () => {},
      0,
      () => 1,
    );
    const flushed = ((): WeakRef<Flushable> => {
      const client: Flushable = { flush: () => {} };
      lane.mark(client);
      lane.run(1, 0, Infinity);
      return new WeakRef(client);
    })();
    await nextTurn();
    collect();
    expect(lane.isIdle).toBe(true);
    expect(flushed.deref()).toBeUndefined();
  });
});
