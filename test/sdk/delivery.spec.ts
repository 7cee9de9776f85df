import { afterEach, beforeEach, describe, expect, jest, test } from '@jest/globals';
import { connectRawData, type RawDataConnection } from '../../src/sdk/index.js';
import { FakeNetwork } from './fake.socket.js';

const ADDRESS = { base: 'https://push.test', businessType: 'meter', businessId: '7', userName: 'ann' };

let network: FakeNetwork;
let connection: RawDataConnection;

beforeEach(async () => {
  jest.useFakeTimers();
  jest.spyOn(Math, 'random').mockReturnValue(1);
  network = new FakeNetwork();
  connection = connectRawData({ ...ADDRESS, WebSocket: network.WebSocket, maxQueued: 5 });
  await settle();
  network.last.greet({ heartbeatMs: 1000 });
});

afterEach(() => {
  connection.close();
  jest.useRealTimers();
  jest.restoreAllMocks();
});

const settle = () => jest.advanceTimersByTimeAsync(0);
const push = (value: number) => network.last.receive('rawData', { businessType: 'meter', value });
const mark = (n: number) => network.last.receive('mark', { n });
const marks = () => network.last.sent().map(({ data }) => data['n']);

/** A listener whose promises are kept by the test. */
function slowListener(): { finish: (value: number) => Promise<void> } {
  const waiting = new Map<unknown, () => void>();
  connection.on('rawData', ({ value }) => new Promise<void>((resolve) => waiting.set(value, resolve)));
  return {
    finish: async (value) => {
      waiting.get(value)?.();
      await settle();
    },
  };
}

describe('marks', () => {
  test('go back as they came, after the listeners of what was before them', () => {
    const order: unknown[] = [];
    connection.on('rawData', ({ value }) => order.push(value, network.last.texts.length));
    push(1);
    mark(7);
    push(2);
    mark(9);
    expect(order).toEqual([1, 0, 2, 1]);
    expect(network.last.texts).toEqual(['{"event":"mark","data":{"n":7}}', '{"event":"mark","data":{"n":9}}']);
  });

  test('wait for the promises of listeners, in order; but for the first, without which the server goes by pongs', async () => {
    const { finish } = slowListener();
    const lagging: number[] = [];
    connection.on('lagging', ({ waiting }) => lagging.push(waiting));
    push(1);
    mark(1);
    expect(marks()).toEqual([1]);
    push(2);
    mark(2);
    push(3);
    mark(3);
    expect([marks(), lagging]).toEqual([[], [2]]);
    await finish(2);
    await finish(3);
    expect(marks()).toEqual([]);
    await finish(1);
    expect([marks(), lagging]).toEqual([
      [2, 3],
      [2, 0],
    ]);
  });

  test('of a connection that is no more are not sent on the next', async () => {
    const { finish } = slowListener();
    mark(1);
    push(1);
    mark(2);
    network.last.end(1012);
    await jest.advanceTimersByTimeAsync(1000);
    network.last.greet();
    await finish(1);
    expect(marks()).toEqual([]);
    mark(3);
    expect(marks()).toEqual([3]);
  });

  test('that wait silence the server, and its silence is not taken for death', async () => {
    const { finish } = slowListener();
    mark(1);
    push(1);
    mark(2);
    await jest.advanceTimersByTimeAsync(60_000);
    expect(connection.state).toBe('open');
    await finish(1);
    expect(marks()).toEqual([1, 2]);
    await jest.advanceTimersByTimeAsync(2400);
    expect(connection.state).toBe('open');
    await jest.advanceTimersByTimeAsync(100);
    expect(connection.state).toBe('waiting');
  });

  test('a listener that rejects has handled it', async () => {
    connection.on('error', () => {});
    connection.on('rawData', () => Promise.reject(new Error('broken')));
    mark(1);
    push(1);
    mark(2);
    await settle();
    expect(marks()).toEqual([1, 2]);
  });
});

describe('a loop', () => {
  test('gets what comes from its beginning on, over reconnects, and ends with close', async () => {
    const heard: unknown[] = [];
    const loop = (async () => {
      for await (const { value } of connection) heard.push(value);
      return 'ended';
    })();
    push(1);
    push(2);
    await settle();
    network.last.end(1012);
    await jest.advanceTimersByTimeAsync(1000);
    network.last.greet();
    push(3);
    await settle();
    connection.close();
    expect([await loop, heard]).toEqual(['ended', [1, 2, 3]]);
  });

  test('holds marks back until it has come so far', async () => {
    const loop = connection[Symbol.asyncIterator]();
    mark(1);
    push(1);
    push(2);
    mark(2);
    expect(marks()).toEqual([1]);
    expect(await loop.next()).toMatchObject({ value: { value: 1 } });
    expect(await loop.next()).toMatchObject({ value: { value: 2 } });
    await settle();
    expect(marks()).toEqual([]);
    void loop.next();
    await settle();
    expect(marks()).toEqual([2]);
  });

  test('that is left lets go of what is queued', async () => {
    mark(1);
    const left = (async () => {
      const values: unknown[] = [];
      for await (const { value } of connection) {
        values.push(value);
        break;
      }
      return values;
    })();
    push(1);
    push(2);
    push(3);
    mark(2);
    expect(await left).toEqual([1]);
    await settle();
    expect(marks()).toEqual([1, 2]);
    push(4);
    mark(3);
    expect(marks()).toEqual([3]);
  });

  test('ends with an error where it does not keep up', async () => {
    const loop = connection[Symbol.asyncIterator]();
    await Promise.all([loop.next(), push(0)]);
    for (let value = 1; value <= 6; value++) push(value);
    await expect(loop.next()).rejects.toMatchObject({ fault: 'overflow' });
    expect(await loop.next()).toEqual({ done: true, value: undefined });
    expect(connection.state).toBe('open');
    push(7);
  });

  test('ends with the error that stops the connection, after what was queued; one that begins later too', async () => {
    connection.on('error', () => {});
    const loop = connection[Symbol.asyncIterator]();
    push(1);
    network.last.end(4403, 'forbidden');
    expect(await loop.next()).toMatchObject({ value: { value: 1 } });
    await expect(loop.next()).rejects.toMatchObject({ fault: 'stopped', code: 4403, message: 'forbidden' });
    await expect(connection[Symbol.asyncIterator]().next()).rejects.toMatchObject({ fault: 'stopped' });
  });

  test('ends at once where the connection was closed', async () => {
    const loop = connection[Symbol.asyncIterator]();
    push(1);
    connection.close();
    expect(await loop.next()).toEqual({ done: true, value: undefined });
    expect(await connection[Symbol.asyncIterator]().next()).toEqual({ done: true, value: undefined });
  });
});
