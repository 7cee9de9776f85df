import { describe, expect, test } from '@jest/globals';
import { until, within } from '../support/deadline.js';
import { gatewayOn, PLATFORMS } from '../support/gateway.fixture.js';
import { openSocket, readUntil, upgradeBytes } from '../support/raw-upgrade.js';

const INTERVAL_MS = 60;
const TIMEOUT_MS = 10 * INTERVAL_MS;
const fast = { heartbeatIntervalMs: INTERVAL_MS, heartbeatTimeoutMs: TIMEOUT_MS };
const PATHS = ['/ws/rowdata/dev/1/ann', '/ws/alarm'];
// RFC 6455 section 5.5.2: FIN, opcode 9, no payload.
const PING = Buffer.from([0x89, 0x00]);
// FIN, opcode 10, masked with zeros, no payload.
const PONG = Buffer.from([0x8a, 0x80, 0, 0, 0, 0]);

describe.each(PLATFORMS)('heartbeats on %s', (platform) => {
  test.each(PATHS)('a client on %s that pongs is pinged once an interval and stays', async (path) => {
    const gateway = await gatewayOn(platform).withOptions({ heartbeatIntervalMs: INTERVAL_MS }).start();
    const client = await gateway.connect(path);
    const startMs = performance.now();
    await until(() => client.pings >= 8, 'eight pings');
    // Not much faster than asked for: the rounds are finer than the interval.
    expect(performance.now() - startMs).toBeGreaterThan(6 * INTERVAL_MS);
    expect(client.socket.readyState).toBe(client.socket.OPEN);
    expect(gateway.rawData.count() + gateway.alarms.count()).toBe(1);
  });

  test.each(PATHS)('one on %s that never pongs is ended, and its place is free', async (path) => {
    const gateway = await gatewayOn(platform).withOptions(fast).start();
    const ends: number[] = [];
    for (const registry of [gateway.rawData, gateway.alarms]) {
      registry.disconnected$.subscribe(({ code }) => ends.push(code));
    }
    const healthy = await gateway.connect(path);
    const socket = await openSocket(gateway.port);
    const startMs = performance.now();
    socket.write(upgradeBytes(gateway.port, { path }));
    const received = await readUntil(socket, () => false);
    expect(performance.now() - startMs).toBeGreaterThan(0.9 * TIMEOUT_MS);
    expect(received.includes(PING)).toBe(true);
    await until(() => ends.length === 1, 'disconnected$');
    expect(ends).toEqual([1006]);
    await until(() => gateway.placesTaken === 1, 'its place is free');
    expect(healthy.socket.readyState).toBe(healthy.socket.OPEN);
    socket.destroy();
  });

  test('sending data is no sign of life, but an unasked pong is', async () => {
    const gateway = await gatewayOn(platform).withOptions(fast).start();
    const talker = await openSocket(gateway.port);
    const ponger = await openSocket(gateway.port);
    // A masked text frame of one byte.
    const text = Buffer.from([0x81, 0x81, 0, 0, 0, 0, 0x61]);
    for (const socket of [talker, ponger]) socket.write(upgradeBytes(gateway.port, { path: '/ws/rowdata/dev/1/ann' }));
    await until(() => gateway.rawData.count() === 2, 'two connections');
    const timer = setInterval(() => {
      talker.write(text);
      ponger.write(PONG);
    }, INTERVAL_MS / 2);
    try {
      const ended = readUntil(talker, () => false);
      ponger.resume();
      await ended;
      await until(() => gateway.rawData.count() === 1, 'the talker is gone');
      expect(ponger.destroyed).toBe(false);
    } finally {
      clearInterval(timer);
      talker.destroy();
      ponger.destroy();
    }
  });

  test('a quiet push.v1 client gets a heartbeat, on alarms with the cursor reached', async () => {
    const gateway = await gatewayOn(platform).withOptions({ heartbeatIntervalMs: INTERVAL_MS }).start();
    const raw = await gateway.connectPushV1('/ws/rowdata/dev/1/ann');
    const all = await gateway.connectPushV1('/ws/alarm');
    const severe = await gateway.connectPushV1('/ws/alarm?minSeverity=900');
    expect(await raw.nextMessage()).toEqual({ event: 'heartbeat', data: {} });
    const { cursor } = await gateway.push.pushAlarm({ businessId: '1', severity: 5 });
    await until(() => all.pings > 0, 'a ping');
    let message = await all.nextMessage();
    while (message.event === 'heartbeat') message = await all.nextMessage();
    expect(message).toMatchObject({ event: 'alarm', id: cursor });
    expect(await all.nextMessage()).toEqual({ event: 'heartbeat', id: cursor, data: {} });
    // What was not for this one moves its position as well.
    for (;;) {
      const { event, id } = await severe.nextMessage();
      expect(event).toBe('heartbeat');
      if (id === cursor) break;
    }
  });

  test('a plain client gets no heartbeat, nor does a push.v1 client that has data', async () => {
    // Long against what a loaded machine holds a timer back, or the busy client would be quiet at times.
    const heartbeatIntervalMs = 1000;
    const gateway = await gatewayOn(platform).withOptions({ heartbeatIntervalMs }).start();
    const plain = await gateway.connect('/ws/rowdata/dev/1/ann');
    const busy = await gateway.connectPushV1('/ws/rowdata/dev/2/ann');
    const timer = setInterval(() => gateway.push.pushRawData({ businessType: 'dev', businessId: '2' }), 50);
    let heard;
    try {
      await until(() => plain.pings >= 2 && busy.pings >= 2, 'two pings');
      heard = await gateway.heardBy({ plain, busy });
    } finally {
      clearInterval(timer);
    }
    expect(heard.plain).toEqual([]);
    expect(heard.busy.filter((text) => text.includes('"heartbeat"'))).toEqual([]);
    expect(heard.busy.length).toBeGreaterThan(3);
  });

  test('a client that is connected and dead is ended although data are pushed to it', async () => {
    const gateway = await gatewayOn(platform).withOptions(fast).start();
    const socket = await openSocket(gateway.port);
    socket.write(upgradeBytes(gateway.port, { path: '/ws/rowdata/dev/1/ann' }));
    await until(() => gateway.rawData.count() === 1, 'the connection');
    const timer = setInterval(() => gateway.push.pushRawData({ businessType: 'dev' }), 10);
    try {
      await within(
        readUntil(socket, () => false),
        'the end',
      );
      await until(() => gateway.rawData.count() === 0, 'the client is gone');
    } finally {
      clearInterval(timer);
      socket.destroy();
    }
    expect(gateway.push.pushRawData({ businessType: 'dev' })).toEqual({ matched: 0 });
  });
});
