import { EventEmitter } from 'node:events';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { Logger } from '@nestjs/common';
import { FlushQueue } from '../../src/fan-out/flush-queue.js';
import { WireFormat } from '../../src/fan-out/frame.js';
import type { RawDataClient } from '../../src/fan-out/raw-data.router.js';
import type { PushSocket } from '../../src/gateway/push.socket.js';
import { CloseCodes } from '../../src/protocol/close-codes.js';
import type { ClientMessage } from '../../src/protocol/client-message.js';
import { type PushOptions, resolvePushOptions } from '../../src/push.options.js';
import type { RawDataRegistry } from '../../src/registry/raw-data.registry.js';
import { Session } from '../../src/registry/sessions.js';
import { MemorySink } from '../support/memory.sink.js';
import { createConnections } from './connections.fixture.js';
import { createRawData } from '../registry/raw-data.fixture.js';

let options: PushOptions;
let flushQueue: FlushQueue;
let registry: RawDataRegistry;
let socket: EventEmitter;
let sink: MemorySink;
let handled: ClientMessage[];

beforeEach(() => {
  Logger.overrideLogger(false);
  options = resolvePushOptions({ inFlightBytes: 1024 });
  flushQueue = new FlushQueue(options);
  ({ registry } = createRawData(options, flushQueue));
  socket = new EventEmitter();
  sink = new MemorySink();
  handled = [];
});

afterEach(() => {
  flushQueue.close();
  Logger.overrideLogger(['log', 'error', 'warn', 'debug', 'verbose', 'fatal']);
});

function handle(_: RawDataClient, message: ClientMessage): boolean {
  return (message.event === 'subscribe' || message.event === 'ack') && handled.push(message) > 0;
}

function open(format: WireFormat): RawDataClient {
  const identity = { clientId: 'c', key: 'c', userName: 'u', remoteAddress: '', format };
  const client = registry.createClient(identity, sink, { businessType: 'dev', businessId: '1' }, undefined);
  const handler = { registry, handle, recheck: () => ({ keys: [], refused: [] }) };
  const { connections } = createConnections(options);
  connections.open(socket as unknown as PushSocket, client, new Session({}), handler, () => {});
  return client;
}

const send = (text: string) => socket.emit('message', Buffer.from(text), false);

function answers(): { event: string; ref?: unknown; data: { code?: string; message?: string } }[] {
  flushQueue.flushAll();
  return sink.texts().map((text) => JSON.parse(text) as ReturnType<typeof answers>[number]);
}

describe('a connection', () => {
  test('is registered while its socket lives', () => {
    const ends: [number, string][] = [];
    registry.disconnected$.subscribe(({ code, reason }) => ends.push([code, reason]));
    const client = open(WireFormat.plain);
    expect(registry.count()).toBe(1);
    socket.emit('error', new Error('reset'));
    expect(registry.count()).toBe(1);
    socket.emit('close', 1006, Buffer.from('gone'));
    expect(registry.count()).toBe(0);
    expect(client.state).toBe('closed');
    expect(ends).toEqual([[1006, 'gone']]);
  });

  test('on the plain wire hands on what the client sends, text as text and bytes as bytes', () => {
    const sent: unknown[] = [];
    registry.messages$.subscribe(({ event, data }) => sent.push([event, data]));
    open(WireFormat.plain);
    send('{"event":"mark","data":{"n":1}}');
    socket.emit('message', Buffer.from([1, 2]), true);
    socket.emit('message', [Buffer.from('a'), Buffer.from('b')], false);
    expect(sent).toEqual([
      [undefined, '{"event":"mark","data":{"n":1}}'],
      [undefined, Buffer.from([1, 2])],
      [undefined, 'ab'],
    ]);
    expect(answers()).toEqual([]);
  });

  test('on the plain wire needs nobody who listens', () => {
    open(WireFormat.plain);
    send('hello');
    expect(answers()).toEqual([]);
  });

  test('on push.v1 hands the gateway its messages', () => {
    open(WireFormat.pushV1);
    send('{"event":"subscribe","ref":1,"data":{"keys":[]}}');
    expect(handled).toEqual([{ event: 'subscribe', ref: 1, data: { keys: [] } }]);
    expect(answers()).toEqual([]);
  });

  test('on push.v1 hands the application what is not ours, where it listens', () => {
    open(WireFormat.pushV1);
    send('{"event":"chat","ref":"r","data":{"text":"hi"}}');
    const sent: unknown[] = [];
    registry.messages$.subscribe(({ event, data }) => sent.push([event, data]));
    send('{"event":"chat","data":{"text":"hi"}}');
    expect(sent).toEqual([['chat', { text: 'hi' }]]);
    expect(answers()).toMatchObject([{ event: 'exception', ref: 'r', data: { code: 'unknownEvent' } }]);
  });

  test('on push.v1 an event of ours that this gateway does not know is not the application’s', () => {
    const sent: unknown[] = [];
    registry.messages$.subscribe((message) => sent.push(message));
    open(WireFormat.pushV1);
    send('{"event":"unsubscribe","ref":2,"data":{"keys":[]}}');
    expect(sent).toEqual([]);
    expect(answers()).toMatchObject([{ event: 'exception', ref: 2, data: { code: 'unknownEvent' } }]);
  });

  test.each([
    ['text that is no JSON', Buffer.from('hello'), false],
    ['bytes', Buffer.from('{"event":"x"}'), true],
    ['a bad subscription', Buffer.from('{"event":"subscribe","data":{}}'), false],
    ['a bad mark', Buffer.from('{"event":"mark","data":{"n":"1"}}'), false],
  ])('on push.v1 %s is answered, and the connection goes on', (_, data, isBinary) => {
    const client = open(WireFormat.pushV1);
    socket.emit('message', data, isBinary);
    expect(answers()).toMatchObject([{ event: 'exception', data: { code: 'badMessage' } }]);
    expect(client.state).toBe('open');
  });

  test('the ref of a bad message is repeated', () => {
    open(WireFormat.pushV1);
    send('{"event":"subscribe","ref":"r7","data":{}}');
    expect(answers()).toMatchObject([{ event: 'exception', ref: 'r7' }]);
  });

  test.each(['drains', 'closes'])('an acknowledgement is taken while the connection %s, and nothing else', (end) => {
    const client = open(WireFormat.pushV1);
    if (end === 'drains') {
      registry.broadcast('x'.repeat(2000));
      flushQueue.flushAll();
      registry.broadcast('waits');
    }
    client.drain(CloseCodes.drain);
    expect(client.state).toBe(end === 'drains' ? 'draining' : 'closing');
    send('{"event":"subscribe","data":{"keys":[{"businessType":"dev","businessId":"2"}]}}');
    send('{"event":"ack","data":{"id":"e.7"}}');
    expect(handled).toEqual([{ event: 'ack', data: { id: 'e.7' } }]);
  });

  test('what floods in behind the close is not looked at', () => {
    const client = open(WireFormat.pushV1);
    client.close(CloseCodes.drain);
    for (let n = 0; n < 1000; n++) send('{"event":"ack","data":{"id":"e.7"}}');
    expect(handled.length).toBeLessThanOrEqual(2 * options.maxMessagesPerSecond);
  });

  test('a mark that comes back opens the window', () => {
    const client = open(WireFormat.pushV1);
    registry.broadcast('x'.repeat(2000));
    flushQueue.flushAll();
    expect(client.inFlightBytes).toBeGreaterThan(1024);
    const [mark] = sink.marks();
    send(`{"event":"mark","data":{"n":${mark?.n}}}`);
    expect(client.inFlightBytes).toBe(0);
    expect(sink.texts()).toHaveLength(1);
  });

  test('a pong is a sign of life, and with a mark opens the window', () => {
    const client = open(WireFormat.plain);
    registry.broadcast('x'.repeat(2000));
    flushQueue.flushAll();
    client.lastPongAtMs = 0;
    socket.emit('pong', Buffer.alloc(0));
    expect(client.lastPongAtMs).toBeGreaterThan(0);
    expect(client.inFlightBytes).toBeGreaterThan(1024);
    socket.emit('pong', Buffer.from(`m${sink.marks()[0]?.n}`));
    expect(client.inFlightBytes).toBe(0);
  });

  test('marks are no messages of a client, also where its pongs ran ahead of its page', () => {
    options = resolvePushOptions({ inFlightBytes: 1024, maxMessagesPerSecond: 1 });
    const client = open(WireFormat.pushV1);
    const sent: number[] = [];
    for (let n = 0; n < 20; n++) {
      registry.broadcast('x'.repeat(600));
      flushQueue.flushAll();
      for (const mark of sink.marks().slice(sent.length * 2)) {
        if (mark.by === 'pong') socket.emit('pong', Buffer.from(`m${mark.n}`));
        else sent.push(mark.n);
      }
    }
    expect(sent.length).toBeGreaterThan(10);
    // The page wakes, and returns all of them at once.
    for (const n of sent) send(`{"event":"mark","data":{"n":${n}}}`);
    expect(client.state).toBe('open');
    // Each is good once.
    for (const n of sent) send(`{"event":"mark","data":{"n":${n}}}`);
    expect(client.state).toBe('closing');
  });

  test('what a client sends while it is being closed counts no more', () => {
    const sent: unknown[] = [];
    registry.messages$.subscribe((message) => sent.push(message));
    open(WireFormat.plain);
    registry.disconnect('c', 4000, '');
    send('hello');
    expect(sent).toEqual([]);
  });
});
