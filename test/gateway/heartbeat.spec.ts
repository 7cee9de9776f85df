import { afterEach, beforeEach, describe, expect, jest, test } from '@jest/globals';
import { Logger } from '@nestjs/common';
import type { Client } from '../../src/fan-out/client.js';
import { WireFormat } from '../../src/fan-out/frame.js';
import { Heartbeat } from '../../src/gateway/heartbeat.js';
import { resolvePushOptions } from '../../src/push.options.js';
import type { RawDataRegistry } from '../../src/registry/raw-data.registry.js';
import { AlarmSide } from '../registry/alarm.fixture.js';
import { createRawData } from '../registry/raw-data.fixture.js';
import { MemorySink, Opcode } from '../support/memory.sink.js';

const INTERVAL_MS = 25_000;
const TIMEOUT_MS = 45_000;

let alarmSide: AlarmSide;
let rawData: RawDataRegistry;
let heartbeat: Heartbeat;

beforeEach(() => {
  jest.useFakeTimers();
  Logger.overrideLogger(false);
  const options = resolvePushOptions({ heartbeatIntervalMs: INTERVAL_MS, heartbeatTimeoutMs: TIMEOUT_MS });
  alarmSide = new AlarmSide();
  rawData = createRawData(options, alarmSide.flushQueue).registry;
  heartbeat = new Heartbeat(options, rawData, alarmSide.registry);
  heartbeat.onApplicationBootstrap();
});

afterEach(() => {
  heartbeat.onApplicationShutdown();
  alarmSide.close();
  jest.restoreAllMocks();
  jest.useRealTimers();
  Logger.overrideLogger(['log', 'error', 'warn', 'debug', 'verbose', 'fatal']);
});

function connectRawData(format: WireFormat): { client: Client; sink: MemorySink } {
  const sink = new MemorySink();
  const identity = { clientId: 'r', key: 'r', userName: 'u', remoteAddress: '', format };
  const client = rawData.createClient(identity, sink, { businessType: 'dev', businessId: '1' }, undefined);
  rawData.register(client, () => {});
  return { client, sink };
}

function connectAlarms(format: WireFormat): { client: Client; sink: MemorySink } {
  return alarmSide.connect({ format });
}

/** Time goes on while the client answers every ping. */
function live(client: Client, ms: number): void {
  for (let passedMs = 0; passedMs < ms; passedMs += 1000) {
    jest.advanceTimersByTime(1000);
    client.lastPongAtMs = performance.now();
  }
}

const pingsOf = (sink: MemorySink) => sink.frames().filter(({ opcode }) => opcode === Opcode.ping).length;

describe('the heartbeat', () => {
  test.each([
    ['raw data', () => connectRawData(WireFormat.plain)],
    ['alarms', () => connectAlarms(WireFormat.plain)],
  ])('pings every connection of %s once an interval, with an empty ping', (_, connect) => {
    const { client, sink } = connect();
    live(client, 4 * INTERVAL_MS);
    expect(pingsOf(sink)).toBe(4);
    expect(sink.frames().every(({ payload }) => payload.length === 0)).toBe(true);
    expect(sink.isTerminated).toBe(false);
  });

  test.each([
    ['raw data', () => connectRawData(WireFormat.plain)],
    ['alarms', () => connectAlarms(WireFormat.pushV1)],
  ])('ends a connection of %s that has not answered for the timeout, and not before', (_, connect) => {
    const { sink } = connect();
    jest.advanceTimersByTime(TIMEOUT_MS - 1);
    expect(sink.isTerminated).toBe(false);
    jest.advanceTimersByTime(INTERVAL_MS / 5 + 1);
    expect(sink.isTerminated).toBe(true);
  });

  test('a process that stood still takes nobody for silent whose pong it has not read yet', () => {
    const { client, sink } = connectRawData(WireFormat.plain);
    const { sink: dead } = connectAlarms(WireFormat.plain);
    live(client, INTERVAL_MS);
    const clock = performance.now.bind(performance);
    jest.spyOn(performance, 'now').mockImplementation(() => clock() + 10 * TIMEOUT_MS);
    jest.advanceTimersByTime(INTERVAL_MS / 5);
    expect(sink.isTerminated).toBe(false);
    live(client, TIMEOUT_MS);
    expect([sink.isTerminated, dead.isTerminated]).toEqual([false, true]);
  });

  test('a client that reads no data, but answers pings, lives', () => {
    const { client, sink } = connectRawData(WireFormat.pushV1);
    rawData.broadcast('x'.repeat(100_000));
    live(client, 10 * INTERVAL_MS);
    expect(client.inFlightBytes).toBeGreaterThan(0);
    expect(sink.isTerminated).toBe(false);
    expect(sink.closed).toBeUndefined();
  });

  test('returned marks do not keep a connection alive that answers no ping', () => {
    const { client, sink } = connectRawData(WireFormat.pushV1);
    for (let n = 1; n <= 10; n++) {
      rawData.broadcast('x'.repeat(100_000));
      jest.advanceTimersByTime(INTERVAL_MS / 5);
      for (const mark of sink.marks()) client.confirmMark(mark.n, 'message', 0);
    }
    expect(sink.isTerminated).toBe(true);
  });

  test('a quiet client of push.v1 gets a message that its page can see, on alarms with the position', () => {
    const raw = connectRawData(WireFormat.pushV1);
    const alarm = connectAlarms(WireFormat.pushV1);
    for (let passedMs = 0; passedMs < 2 * INTERVAL_MS; passedMs += 1000) {
      live(raw.client, 1000);
      alarm.client.lastPongAtMs = performance.now();
    }
    const { epoch } = alarmSide.log.bounds();
    expect(raw.sink.texts()).toContain('{"event":"heartbeat","data":{}}');
    expect(new Set(alarm.sink.texts())).toEqual(new Set([`{"event":"heartbeat","id":"${epoch}.0","data":{}}`]));
  });

  test('the plain wire gets no message', () => {
    const { client, sink } = connectRawData(WireFormat.plain);
    live(client, 4 * INTERVAL_MS);
    expect(sink.texts()).toEqual([]);
  });

  test('a client that is written to gets no heartbeat message', () => {
    const { client, sink } = connectRawData(WireFormat.pushV1);
    for (let n = 0; n < 20; n++) {
      rawData.broadcast('datum');
      live(client, INTERVAL_MS / 5);
    }
    expect(sink.texts()).toEqual(Array.from({ length: 20 }, () => 'datum'));
  });

  test('wakes a client that was stuck on a full socket', () => {
    const { client, sink } = connectRawData(WireFormat.plain);
    sink.bufferedBytes = 2 * 1024 * 1024;
    rawData.broadcast('datum');
    live(client, 1000);
    expect(sink.texts()).toEqual([]);
    sink.bufferedBytes = 0;
    live(client, INTERVAL_MS / 5);
    expect(sink.texts()).toEqual(['datum']);
  });

  test('has one timer, and none after its end', () => {
    connectRawData(WireFormat.plain);
    connectAlarms(WireFormat.plain);
    expect(jest.getTimerCount()).toBe(1);
    heartbeat.onApplicationShutdown();
    expect(jest.getTimerCount()).toBe(0);
  });
});
