import { afterEach, beforeEach, describe, expect, jest, test } from '@jest/globals';
import type { Client } from '../../src/fan-out/client.js';
import type { PushSocket } from '../../src/gateway/push.socket.js';
import { UnfinishedMessages } from '../../src/gateway/unfinished.messages.js';
import { resolvePushOptions } from '../../src/push.options.js';

interface FakeReceiver {
  _bufferedBytes: number;
  _fragmented: number;
  _state: number;
}

let unfinished: UnfinishedMessages;

beforeEach(() => {
  jest.useFakeTimers();
  unfinished = new UnfinishedMessages(resolvePushOptions({ maxMessageMs: 5000 }));
  unfinished.onApplicationBootstrap();
});

afterEach(() => {
  unfinished.onApplicationShutdown();
  jest.useRealTimers();
});

/** A client whose receiver the test sets. */
function watch(): { receiver: FakeReceiver; socket: PushSocket; closes: number[] } {
  const receiver = { _bufferedBytes: 0, _fragmented: 0, _state: 0 };
  const socket = { _receiver: receiver } as unknown as PushSocket;
  const closes: number[] = [];
  unfinished.watch(socket, { close: ({ code }: { code: number }) => closes.push(code) } as unknown as Client);
  return { receiver, socket, closes };
}

test('a quiet client is left alone', () => {
  const { closes } = watch();
  jest.advanceTimersByTime(3_600_000);
  expect(closes).toEqual([]);
});

describe.each<keyof FakeReceiver>(['_bufferedBytes', '_fragmented', '_state'])(
  'a message that is begun: %s',
  (field) => {
    test('and never ends closes its client once the time is over', () => {
      const { receiver, closes } = watch();
      receiver[field] = 1;
      jest.advanceTimersByTime(5000);
      expect(closes).toEqual([]);
      jest.advanceTimersByTime(2000);
      expect(closes[0]).toBe(4400);
    });

    test('and ends in time closes nothing', () => {
      const { receiver, closes } = watch();
      for (let n = 0; n < 5; n++) {
        receiver[field] = 1;
        jest.advanceTimersByTime(4000);
        receiver[field] = 0;
        jest.advanceTimersByTime(1000);
      }
      expect(closes).toEqual([]);
    });

    test('one after the other, without a pause, closes nothing', () => {
      const { receiver, socket, closes } = watch();
      receiver[field] = 1;
      for (let n = 0; n < 20; n++) {
        jest.advanceTimersByTime(1500);
        unfinished.finished(socket);
      }
      expect(closes).toEqual([]);
      jest.advanceTimersByTime(7000);
      expect(closes[0]).toBe(4400);
    });
  },
);

test('the time in which the process stands still does not count', () => {
  const { receiver, closes } = watch();
  receiver._state = 1;
  jest.advanceTimersByTime(1000);
  const clock = jest.spyOn(performance, 'now').mockReturnValue(3_600_000);
  jest.advanceTimersByTime(1000);
  clock.mockRestore();
  expect(closes).toEqual([]);
});

test('a client that is gone is forgotten', () => {
  const { receiver, socket, closes } = watch();
  receiver._fragmented = 1;
  unfinished.forget(socket);
  unfinished.finished(socket);
  jest.advanceTimersByTime(60_000);
  expect(closes).toEqual([]);
});

test('nothing runs on once the application is closed', () => {
  watch();
  unfinished.onApplicationShutdown();
  expect(jest.getTimerCount()).toBe(0);
});

test('a socket whose receiver is gone is no unfinished message', () => {
  const { closes } = watch();
  const socket = { _receiver: null } as unknown as PushSocket;
  unfinished.watch(socket, { close: () => closes.push(0) } as unknown as Client);
  jest.advanceTimersByTime(60_000);
  expect(closes).toEqual([]);
});
