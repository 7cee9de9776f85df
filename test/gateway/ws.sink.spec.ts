import { PassThrough } from 'node:stream';
import { describe, expect, test } from '@jest/globals';
import type { WebSocket } from 'ws';
import { WsSink } from '../../src/gateway/ws.sink.js';

function sinkOf(readyState: number) {
  const socket = new PassThrough({ highWaterMark: 1 });
  const calls: unknown[][] = [];
  const webSocket = {
    readyState,
    close: (...args: unknown[]) => calls.push(['close', ...args]),
    terminate: () => calls.push(['terminate']),
  };
  return { socket, calls, webSocket, sink: new WsSink(webSocket as unknown as WebSocket, socket) };
}

describe('WsSink', () => {
  test('writes to the socket while the connection is open', () => {
    const { socket, sink } = sinkOf(1);
    sink.write(Buffer.from('abc'));
    expect(socket.read()).toEqual(Buffer.from('abc'));
  });

  test.each([0, 2, 3])('writes nothing in state %d', (readyState) => {
    const { socket, sink } = sinkOf(readyState);
    sink.write(Buffer.from('abc'));
    expect(socket.read()).toBeNull();
  });

  test('writes nothing any more once it is closing', () => {
    const { socket, sink, webSocket } = sinkOf(1);
    webSocket.readyState = 2;
    sink.write(Buffer.from('abc'));
    expect(socket.read()).toBeNull();
  });

  test('tells how many bytes the kernel has not taken', () => {
    const { socket, sink } = sinkOf(1);
    socket.cork();
    sink.write(Buffer.alloc(100));
    sink.write(Buffer.alloc(50));
    expect(sink.bufferedBytes).toBe(150);
  });

  test('closes and terminates by the WebSocket', () => {
    const { sink, calls } = sinkOf(1);
    sink.close(1012, 'bye');
    sink.terminate();
    expect(calls).toEqual([['close', 1012, 'bye'], ['terminate']]);
  });
});
