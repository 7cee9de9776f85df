import { describe, expect, test } from '@jest/globals';
import { Frame, pingFrame, WireFormat } from '../../src/fan-out/frame.js';
import { CloseCodes } from '../../src/protocol/close-codes.js';
import { Opcode } from '../support/memory.sink.js';
import { datumFrame, TestClient, valuesIn } from './fixtures.js';

const WINDOW = 4096;
const MARK_BYTES = 64;

const received = ({ sink }: TestClient) => valuesIn(sink.texts()).join(' ');

/** Fills the window: from then on nothing is written until a mark comes back. */
function stall(client: TestClient): void {
  client.offer(datumFrame('z', 0, WINDOW));
  client.flush();
  expect(client.client.inFlightBytes).toBeGreaterThanOrEqual(WINDOW);
}

describe('a client that keeps up', () => {
  test('is written what it was offered in one write a flush', () => {
    const client = new TestClient();
    client.offer(datumFrame('a', 1), datumFrame('a', 2), datumFrame('b', 3));
    expect(client.sink.writes).toHaveLength(0);
    client.flush();
    expect(client.sink.writes).toHaveLength(1);
    expect(received(client)).toBe('a1 a2 b3');
    client.flush();
    expect(client.sink.writes).toHaveLength(1);
  });

  test('shares its bytes with every other client that was offered the same', () => {
    const one = new TestClient();
    const other = new TestClient({ lane: one.options.lane });
    for (const frame of [datumFrame('a', 1), datumFrame('b', 2)]) {
      one.offer(frame);
      other.offer(frame);
    }
    one.flush();
    expect(one.sink.writes).toHaveLength(1);
    expect(other.sink.writes[0]).toBe(one.sink.writes[0]);
  });

  test('shares them also where the flush carries a mark', () => {
    const one = new TestClient();
    const other = new TestClient({ lane: one.options.lane });
    for (const frame of [datumFrame('a', 1, 1500), datumFrame('b', 2, 1500)]) {
      one.offer(frame);
      other.offer(frame);
    }
    one.flush();
    expect(one.sink.marks()).toEqual([{ by: 'pong', n: 1 }]);
    expect(other.sink.writes[0]).toBe(one.sink.writes[0]);
  });

  test('gets every datum in order, however many flushes', () => {
    const client = new TestClient();
    const expected: string[] = [];
    for (let n = 0; n < 500; n++) {
      client.offer(datumFrame('a', n, 100));
      expected.push(`a${n}`);
      if (n % 3 === 0) client.flush(1);
      client.returnMarks();
    }
    client.flush();
    expect(received(client)).toBe(expected.join(' '));
    expect(client.client.conflatedTotal).toBe(0);
  });

  test('in merge mode gets the newest of each series in every flush', () => {
    const client = new TestClient({ delivery: 'merge' });
    client.offer(datumFrame('a', 1), datumFrame('b', 2), datumFrame('a', 3));
    client.flush();
    client.offer(datumFrame('a', 4));
    client.flush();
    expect(received(client)).toBe('a3 b2 a4');
  });
});

describe('the in-flight window', () => {
  test('is never exceeded by more than one frame and its mark', () => {
    const client = new TestClient();
    for (let n = 0; n < 200; n++) {
      client.offer(datumFrame(`${n % 7}`, n, 300));
      if (n % 4 === 0) client.flush(1);
      expect(client.client.inFlightBytes).toBeLessThan(WINDOW + 310 + MARK_BYTES);
      expect(client.client.inFlightBytes).toBe(client.sink.writtenBytes);
    }
    expect(client.sink.writtenBytes).toBeGreaterThan(WINDOW - 310);
  });

  test('a frame larger than the window is written whole, alone', () => {
    const client = new TestClient();
    client.offer(datumFrame('a', 1, 3 * WINDOW), datumFrame('b', 2));
    client.flush();
    expect(received(client)).toBe('a1');
    client.returnMarks();
    client.flush();
    expect(received(client)).toBe('a1 b2');
  });

  test('a write that fills half of the window ends with a mark, numbered by its flush', () => {
    const client = new TestClient();
    client.flushNumber = 41;
    client.offer(datumFrame('a', 1, WINDOW / 2 - 10));
    client.flush();
    expect(client.sink.marks()).toEqual([]);
    client.offer(datumFrame('a', 2, 20));
    client.flush();
    expect(client.sink.marks()).toEqual([{ by: 'pong', n: 43 }]);
    expect(client.sink.frames().at(-1)?.opcode).toBe(Opcode.ping);
  });

  test('opens when the mark comes back, and what waits is written', () => {
    const client = new TestClient();
    stall(client);
    client.offer(datumFrame('a', 1), datumFrame('a', 2));
    client.flush(1);
    expect(received(client)).toBe('z0');
    client.returnMarks();
    expect(client.client.inFlightBytes).toBe(0);
    client.flush();
    expect(received(client)).toBe('z0 a1 a2');
  });

  test.each([
    ['a mark that was never sent', 99],
    ['a mark of the future', 2],
    ['zero', 0],
    ['a negative number', -1],
  ])('%s opens nothing', (_, forged) => {
    const client = new TestClient({}, WireFormat.pushV1);
    stall(client);
    const before = client.client.inFlightBytes;
    client.client.confirmMark(forged, 'message', client.nowMs);
    client.client.confirmMark(forged, 'pong', client.nowMs);
    expect(client.client.inFlightBytes).toBe(before);
  });

  test('the same mark counts once', () => {
    const client = new TestClient();
    stall(client);
    client.client.confirmMark(1, 'pong', client.nowMs);
    client.offer(datumFrame('z', 0, WINDOW));
    client.flush();
    const before = client.client.inFlightBytes;
    expect(before).toBeGreaterThanOrEqual(WINDOW);
    client.client.confirmMark(1, 'pong', client.nowMs);
    expect(client.client.inFlightBytes).toBe(before);
  });

  test('nothing is written while the socket buffers more than the outbox budget; waking it later writes on', () => {
    const client = new TestClient({ maxOutboxBytes: 8192 });
    client.sink.bufferedBytes = 8193;
    client.offer(datumFrame('a', 1));
    client.flush();
    expect(client.sink.writes).toHaveLength(0);
    client.sink.bufferedBytes = 8192;
    client.client.wake();
    client.flush();
    expect(received(client)).toBe('a1');
  });

  test('waking a client for which nothing waits does nothing', () => {
    const client = new TestClient();
    client.client.wake();
    expect(client.options.lane.isIdle).toBe(true);
  });
});

const marksOfWrite = (client: TestClient) => {
  const before = client.sink.marks().length;
  client.offer(datumFrame('a', 1, WINDOW / 2));
  client.flush();
  return client.sink
    .marks()
    .slice(before)
    .map(({ by }) => by);
};

describe('marks on push.v1', () => {
  test('are a message and a ping until the page returned one itself, then messages only', () => {
    const client = new TestClient({}, WireFormat.pushV1);
    expect(marksOfWrite(client)).toEqual(['message', 'pong']);
    client.client.confirmMark(1, 'pong', client.nowMs);
    expect(client.client.inFlightBytes).toBe(0);
    expect(marksOfWrite(client)).toEqual(['message', 'pong']);
    client.client.confirmMark(2, 'message', client.nowMs);
    expect(client.client.inFlightBytes).toBe(0);
    expect(marksOfWrite(client)).toEqual(['message']);
  });

  test('a page that answers after its pong has switched all the same', () => {
    const client = new TestClient({}, WireFormat.pushV1);
    marksOfWrite(client);
    client.client.confirmMark(1, 'pong', client.nowMs);
    client.client.confirmMark(1, 'message', client.nowMs);
    expect(marksOfWrite(client)).toEqual(['message']);
  });

  test('once the page answers for itself its pongs say nothing', () => {
    const client = new TestClient({}, WireFormat.pushV1);
    marksOfWrite(client);
    client.client.confirmMark(1, 'message', client.nowMs);
    marksOfWrite(client);
    const before = client.client.inFlightBytes;
    client.client.confirmMark(2, 'pong', client.nowMs);
    expect(client.client.inFlightBytes).toBe(before);
    client.client.confirmMark(2, 'message', client.nowMs);
    expect(client.client.inFlightBytes).toBe(0);
  });

  test('on the plain wire they are pings alone', () => {
    const client = new TestClient();
    expect(marksOfWrite(client)).toEqual(['pong']);
  });
});

describe('a client that is slow', () => {
  test('gets every datum that waited for less than conflateAfterMs', () => {
    const client = new TestClient();
    stall(client);
    client.offer(datumFrame('a', 1), datumFrame('a', 2));
    client.flush();
    client.offer(datumFrame('a', 3));
    client.flush(99);
    client.returnMarks();
    client.flush();
    expect(received(client)).toBe('z0 a1 a2 a3');
    expect(client.client.conflatedTotal).toBe(0);
  });

  test('gets the newest of each series after conflateAfterMs, in the place of the oldest', () => {
    const client = new TestClient();
    stall(client);
    client.offer(datumFrame('a', 1), datumFrame('b', 2), datumFrame('a', 3));
    client.flush();
    client.offer(datumFrame('b', 4));
    client.flush(100);
    client.offer(datumFrame('c', 5), datumFrame('a', 6));
    client.flush(1);
    client.returnMarks();
    client.flush();
    expect(received(client)).toBe('z0 a6 b4 c5');
    expect(client.client.conflatedTotal).toBe(3);
  });

  test('gets the newest also where nothing was pushed after the pressure began', () => {
    const client = new TestClient();
    stall(client);
    client.offer(datumFrame('a', 1), datumFrame('a', 2));
    client.flush();
    client.returnMarks();
    client.flush(5000);
    expect(received(client)).toBe('z0 a2');
  });

  test('on push.v1 is told how many values were replaced, and since when', () => {
    const client = new TestClient({}, WireFormat.pushV1);
    stall(client);
    client.offer(datumFrame('a', 1), datumFrame('a', 2), datumFrame('a', 3));
    client.flush();
    client.flush(100);
    client.offer(datumFrame('a', 4));
    client.flush(50);
    client.returnMarks();
    const beforeMs = Date.now();
    client.flush(50);
    client.flush();
    const afterMs = Date.now();
    expect(received(client)).toBe('z0 a4 conflated');
    const { data } = JSON.parse(client.sink.texts().at(-1) ?? '') as { data: { count: number; sinceMs: number } };
    expect(data.count).toBe(3);
    expect(data.sinceMs).toBeGreaterThanOrEqual(beforeMs - 51);
    expect(data.sinceMs).toBeLessThanOrEqual(afterMs - 49);
  });

  test('on the plain wire is told nothing that it would take for a datum', () => {
    const client = new TestClient();
    stall(client);
    client.offer(datumFrame('a', 1), datumFrame('a', 2));
    client.flush();
    client.returnMarks();
    client.flush(100);
    client.flush();
    expect(received(client)).toBe('z0 a2');
    expect(client.client.conflatedTotal).toBe(1);
    expect(client.options.lane.isIdle).toBe(true);
  });

  test('is written at most the window a flush when it catches up', () => {
    const client = new TestClient();
    stall(client);
    for (let n = 0; n < 40; n++) client.offer(datumFrame(`s${n}`, n, 500));
    client.flush();
    for (let round = 0; round < 100 && client.client.outboxBytes > 0; round++) {
      client.returnMarks();
      client.flush(1);
      expect(client.sink.writes.at(-1)?.length).toBeLessThanOrEqual(WINDOW + MARK_BYTES);
    }
    expect(client.sink.texts()).toHaveLength(41);
  });

  test('over its budget with series of its own is closed with 4413', () => {
    const client = new TestClient({ maxOutboxBytes: 8192 });
    stall(client);
    for (let n = 0; n < 100; n++) client.offer(datumFrame(`s${n}`, n, 100));
    client.flush();
    expect(client.sink.closed).toEqual({ code: 4413, reason: CloseCodes.outboxFull.reason });
    expect(client.client.state).toBe('closing');
    expect(client.client.outboxBytes).toBe(0);
  });

  test('over its budget with one series lives, and holds the newest value', () => {
    const client = new TestClient({ maxOutboxBytes: 8192 });
    stall(client);
    for (let n = 1; n <= 1000; n++) client.offer(datumFrame('a', n, 100));
    client.flush();
    client.returnMarks();
    client.flush();
    expect(client.sink.closed).toBeUndefined();
    expect(received(client)).toBe('z0 a1000');
    expect(client.client.conflatedTotal).toBe(999);
  });

  test('in disconnect mode is closed with 4408', () => {
    const client = new TestClient({ delivery: 'disconnect' });
    stall(client);
    client.offer(datumFrame('a', 1));
    client.flush();
    expect(client.sink.closed).toBeUndefined();
    client.offer(datumFrame('a', 2));
    client.flush(100);
    expect(client.sink.closed).toEqual({ code: 4408, reason: CloseCodes.tooSlow.reason });
  });

  test('never holds more than its budget, backlog and what was offered since together', () => {
    const client = new TestClient({ maxOutboxBytes: 8192 });
    stall(client);
    let largest = 0;
    for (let n = 0; n < 1000; n++) {
      client.offer(datumFrame(`s${n % 70}`, n, 100));
      if (n % 60 === 59) client.flush(1);
      largest = Math.max(largest, client.client.outboxBytes);
    }
    expect(client.sink.closed).toBeUndefined();
    expect(largest).toBeLessThanOrEqual(8192 + 102);
  });
});

const open = () => {
  const client = new TestClient();
  client.offer(datumFrame('a', 1));
  return client;
};

describe('the life of a client', () => {
  test('begins open', () => {
    expect(open().client.state).toBe('open');
  });

  test('close: what was offered goes out first, then the close, then nothing', () => {
    const client = open();
    client.client.close({ code: 1012, reason: 'bye' });
    expect(received(client)).toBe('a1');
    expect(client.sink.closed).toEqual({ code: 1012, reason: 'bye' });
    expect(client.client.state).toBe('closing');
    client.offer(datumFrame('a', 2));
    client.client.writeControl(pingFrame(''));
    client.flush();
    expect(client.sink.writesAfterClose).toBe(0);
    expect(client.client.outboxBytes).toBe(0);
  });

  test('close: what does not fit the window stays behind', () => {
    const client = new TestClient();
    stall(client);
    client.offer(datumFrame('a', 1));
    client.client.close(CloseCodes.drain);
    expect(received(client)).toBe('z0');
    expect(client.sink.closed?.code).toBe(1012);
    expect(client.client.outboxBytes).toBe(0);
  });

  test('a second close changes nothing', () => {
    const client = open();
    client.client.close({ code: 1012, reason: 'first' });
    client.client.close({ code: 4408, reason: 'second' });
    expect(client.sink.closed).toEqual({ code: 1012, reason: 'first' });
  });

  test('terminate ends it at once, and nothing is written any more', () => {
    const client = open();
    client.client.terminate();
    expect(client.sink.isTerminated).toBe(true);
    client.flush();
    client.offer(datumFrame('a', 2));
    client.client.close(CloseCodes.drain);
    client.client.writeControl(pingFrame(''));
    client.flush();
    expect(client.sink.writes).toHaveLength(0);
    expect(client.sink.closed).toBeUndefined();
  });

  test('a socket that is gone: nothing is written or kept, also not when its flush was due or a mark comes late', () => {
    const client = new TestClient();
    stall(client);
    client.offer(datumFrame('a', 1));
    client.client.markClosed();
    client.flush();
    client.returnMarks();
    client.client.wake();
    client.offer(datumFrame('a', 2));
    client.flush();
    expect(received(client)).toBe('z0');
    expect(client.client.state).toBe('closed');
    expect(client.client.outboxBytes).toBe(0);
    expect(client.options.lane.isIdle).toBe(true);
  });

  test('closing a client whose socket is gone does not call the sink', () => {
    const client = open();
    client.client.markClosed();
    client.client.close(CloseCodes.drain);
    expect(client.sink.closed).toBeUndefined();
    expect(client.client.state).toBe('closed');
  });

  test('a control frame is written at once, ahead of what waits', () => {
    const client = open();
    client.client.writeControl(pingFrame(''));
    client.flush();
    expect(client.sink.frames().map(({ opcode }) => opcode)).toEqual([Opcode.ping, Opcode.text]);
  });

  test('remembers when it was written to last', () => {
    const client = open();
    client.flush(5);
    expect(client.client.lastWriteAtMs).toBe(5);
    client.flush(100);
    expect(client.client.lastWriteAtMs).toBe(5);
    client.offer(Frame.text('x'));
    client.flush(1);
    expect(client.client.lastWriteAtMs).toBe(106);
  });
});

describe('what the clients of a gateway were written is added up', () => {
  test('messages and bytes, marks among the bytes', () => {
    const client = new TestClient();
    client.offer(datumFrame('a', 1), datumFrame('b', 2));
    client.flush();
    expect(client.options.totals).toEqual({ messages: 2, bytes: client.sink.writtenBytes, conflated: 0 });
    client.offer(datumFrame('a', 3, WINDOW));
    client.flush();
    expect(client.sink.marks()).toHaveLength(1);
    expect(client.options.totals).toEqual({ messages: 3, bytes: client.sink.writtenBytes, conflated: 0 });
  });

  test('also out of the backlog, and what was replaced there, while it still waits', () => {
    const client = new TestClient({ maxOutboxBytes: 8192 });
    stall(client);
    const written = { ...client.options.totals };
    for (let n = 1; n <= 1000; n++) client.offer(datumFrame('a', n, 100));
    client.flush();
    expect(client.options.totals).toEqual({ ...written, conflated: 999 });
    client.returnMarks();
    client.flush();
    expect(client.options.totals).toEqual({
      messages: written.messages + 1,
      bytes: client.sink.writtenBytes,
      conflated: 999,
    });
  });

  test('what a merging flush joined counts as replaced', () => {
    const client = new TestClient({ delivery: 'merge' });
    client.offer(datumFrame('a', 1), datumFrame('a', 2), datumFrame('b', 3), datumFrame('a', 4));
    client.flush();
    expect(received(client)).toBe('a4 b3');
    expect(client.options.totals).toEqual({ messages: 2, bytes: client.sink.writtenBytes, conflated: 2 });
  });

  test('pings count for nothing', () => {
    const client = new TestClient();
    client.client.writeControl(pingFrame(''));
    expect(client.options.totals).toEqual({ messages: 0, bytes: 0, conflated: 0 });
  });
});
