import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, describe, expect, test } from '@jest/globals';
import { SUBSCRIPTION_STORE, type SubscriptionStore } from '../../src/alarm-log/subscription-store.js';
import { NodeState, PUSH_V1 } from '../../src/index.js';
import { until, within } from '../support/deadline.js';
import { gatewayOn, PLATFORMS, type TestGateway } from '../support/gateway.fixture.js';
import { PushClient } from '../support/push.client.js';
import { rawUpgrade } from '../support/raw-upgrade.js';

const RAW_DATA_PATH = '/ws/rowdata/dev/1/ann';
const DRAIN = { code: 1012, reason: 'server is restarting' };
/** Whoever waits for these is not done when a test gives up. */
const LONG = { drainWindowMs: 60_000, drainDeadlineMs: 120_000 };

const folders: string[] = [];

afterEach(async () => {
  for (const folder of folders.splice(0)) await rm(folder, { recursive: true, force: true });
});

async function temporaryFolder(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'drain-'));
  folders.push(folder);
  return folder;
}

const phaseOf = (gateway: TestGateway) => gateway.app.get(NodeState).phase;
const sinceMs = (startMs: number) => performance.now() - startMs;

/** How many of these instants fall into each of so many equal parts of a stretch. */
function histogram(atMs: readonly number[], stretchMs: number, parts: number): number[] {
  const counts = Array.from({ length: parts }, () => 0);
  for (const each of atMs) {
    const part = Math.min(parts - 1, Math.max(0, Math.floor((each / stretchMs) * parts)));
    counts[part] = (counts[part] ?? 0) + 1;
  }
  return counts;
}

describe.each(PLATFORMS)('a shutdown on %s', (platform) => {
  test('serves on for drainDelayMs, and then lets nobody in', async () => {
    const gateway = await gatewayOn(platform).withOptions({ drainDelayMs: 600 }).start();
    const early = await gateway.connectPushV1(RAW_DATA_PATH);
    const startMs = performance.now();
    const closing = gateway.app.close();
    await until(() => phaseOf(gateway) === 'leaving', 'the node leaves');
    const late = await gateway.connectPushV1(RAW_DATA_PATH);
    const alarms = await gateway.connect('/ws/alarm');
    expect(gateway.push.pushRawData({ businessType: 'dev', n: 1 })).toEqual({ matched: 2 });
    await gateway.push.pushAlarm({ businessId: '1' });
    for (const client of [early, late]) expect((await client.nextEvent('rawData')).data['n']).toBe(1);
    expect(await alarms.next()).toBe('{"businessId":"1"}');
    expect(phaseOf(gateway)).toBe('leaving');
    await until(() => phaseOf(gateway) === 'draining', 'the node drains');
    expect(sinceMs(startMs)).toBeGreaterThanOrEqual(595);
    expect((await rawUpgrade(gateway.port, { path: RAW_DATA_PATH })).status).toBe(503);
    for (const client of [early, late]) {
      const { retryAfterMs } = (await client.nextEvent('drain')).data;
      expect(retryAfterMs).toBeGreaterThanOrEqual(0);
      expect(retryAfterMs).toBeLessThan(100);
    }
    for (const client of [early, late, alarms]) expect(await within(client.closed, 'close')).toEqual(DRAIN);
    await within(closing, 'the application is closed');
  });

  test('of a node that has not started lets nobody in, and waits for nothing', async () => {
    const gateway = await gatewayOn(platform).withOptions({ drainDelayMs: 60_000 }).create();
    await within(gateway.app.close(), 'the application is closed');
    expect(phaseOf(gateway)).toBe('draining');
  });

  test('without clients ends at once', async () => {
    const gateway = await gatewayOn(platform).withOptions(LONG).start();
    await within(gateway.app.close(), 'the application is closed');
    expect(gateway.httpServer.listening).toBe(false);
  });

  test('with a few clients ends at once', async () => {
    const gateway = await gatewayOn(platform).withOptions(LONG).start();
    const clients = [];
    for (let n = 0; n < 5; n++) {
      clients.push(await gateway.connectPushV1(RAW_DATA_PATH), await gateway.connect('/ws/alarm'));
    }
    await within(gateway.app.close(), 'the application is closed');
    for (const client of clients) expect(await client.closed).toEqual(DRAIN);
  });
});

describe('many clients', () => {
  const WINDOW_MS = 1500;
  const PORTION_MS = 100;
  const PUSH_INTERVAL_MS = 20;
  /** What a timer may be early by. */
  const CLOCK_MS = 2;

  test('are told and closed evenly over the window, and get what is pushed until their own end', async () => {
    const gateway = await gatewayOn('express').withOptions({ drainWindowMs: WINDOW_MS }).start();
    const told: number[] = [];
    const closedAtMs: number[] = [];
    const lastHeard = new Map<PushClient, number>();
    let startMs = 0;
    const watch = (client: PushClient) => {
      client.socket.on('message', (text) => {
        const { event, data, n } = JSON.parse(String(text)) as {
          event?: string;
          data?: { n?: number; retryAfterMs?: number };
          n?: number;
        };
        if (event === 'drain') told.push(data?.retryAfterMs ?? Number.NaN);
        const heard = data?.n ?? n;
        if (heard !== undefined) lastHeard.set(client, heard);
      });
      void client.closed.then(() => closedAtMs.push(sinceMs(startMs)));
      return client;
    };
    const clients: PushClient[] = [];
    for (let n = 0; n < 50; n++) {
      clients.push(
        watch(await gateway.connectPushV1(RAW_DATA_PATH)),
        watch(await gateway.connectPushV1('/ws/alarm')),
        watch(await gateway.connect(RAW_DATA_PATH)),
      );
    }
    startMs = performance.now();
    let pushed = 0;
    let pushedAtMs = startMs;
    let heldUpMs = 0;
    const pushing = setInterval(() => {
      gateway.push.pushRawData({ businessType: 'dev', n: (pushed += 1) });
      heldUpMs += sinceMs(pushedAtMs) - PUSH_INTERVAL_MS;
      pushedAtMs = performance.now();
    }, PUSH_INTERVAL_MS);
    try {
      await within(gateway.app.close(), 'the application is closed');
    } finally {
      clearInterval(pushing);
    }
    for (const client of clients) expect(await client.closed).toEqual(DRAIN);
    expect(closedAtMs).toHaveLength(150);
    // 15 portions: no client goes ahead of its own, nor behind it by more than a portion and what the machine held up.
    const uneven = closedAtMs
      .toSorted((one, other) => one - other)
      .map((atMs, index) => atMs - Math.floor(index / 10) * PORTION_MS)
      .filter((lateMs) => lateMs < -CLOCK_MS || lateMs > PORTION_MS + heldUpMs);
    expect(uneven).toEqual([]);
    expect(told).toHaveLength(100);
    expect(new Set(told).size).toBe(100);
    expect(histogram(told, WINDOW_MS, 10)).toEqual(Array.from({ length: 10 }, () => 10));
    // Whoever left last still heard what was pushed shortly before.
    expect(Math.max(...lastHeard.values())).toBeGreaterThan(pushed / 2);
  });

  test('leave in one moment with a window of 0', async () => {
    const gateway = await gatewayOn('express').withOptions({ drainWindowMs: 0 }).start();
    const clients = await Promise.all(Array.from({ length: 60 }, () => gateway.connectPushV1(RAW_DATA_PATH)));
    await within(gateway.app.close(), 'the application is closed');
    for (const client of clients) expect((await client.nextEvent('drain')).data).toEqual({ retryAfterMs: 0 });
  });

  test('the window ends with the last client', async () => {
    const gateway = await gatewayOn('express').withOptions(LONG).start();
    const clients = await Promise.all(Array.from({ length: 300 }, () => gateway.connect(RAW_DATA_PATH)));
    const closing = gateway.app.close();
    for (const client of clients) client.socket.terminate();
    await until(() => gateway.rawData.count() === 0, 'all are gone');
    // Their portions are 3 s.
    await within(closing, 'the application is closed', 1000);
    expect(gateway.httpServer.listening).toBe(false);
  });
});

test('neither a rate limit nor the flush interval holds anything back', async () => {
  const gateway = await gatewayOn('express').withOptions({ drainWindowMs: 1000, flushIntervalMs: 60_000 }).start();
  const url = gateway.url(`${RAW_DATA_PATH}?maxFrequencyHz=0.01`);
  const clients = await Promise.all(Array.from({ length: 100 }, () => PushClient.connect(url, {}, [PUSH_V1])));
  let toldAtMs = 0;
  const heard = clients.map((client) => {
    const events: string[] = [];
    client.socket.on('message', (text) => {
      const { event, data } = JSON.parse(String(text)) as { event: string; data: { n?: number } };
      if (event === 'drain') toldAtMs = performance.now();
      events.push(`${event}${data.n ?? ''}`);
    });
    return events;
  });
  for (let n = 1; n <= 3; n++) gateway.push.pushRawData({ businessType: 'dev', businessId: '1', n });
  await within(gateway.app.close(), 'the application is closed');
  const closedAtMs = performance.now();
  for (const client of clients) await within(client.closed, 'close');
  for (const events of heard) expect(events).toEqual(['ready', 'rawData1', 'drain', 'rawData3']);
  // All at the beginning, the last clients 900 ms before their end, of which a slow machine may take some.
  expect(closedAtMs - toldAtMs).toBeGreaterThan(150);
});

/** Acknowledges every alarm as soon as it comes. */
async function connectDurable(gateway: TestGateway, acknowledges: boolean): Promise<PushClient> {
  const client = await PushClient.connect(gateway.url('/ws/alarm?durable=phone'), {}, [PUSH_V1]);
  await client.nextEvent('ready');
  client.socket.on('message', (text) => {
    const { event, id } = JSON.parse(String(text)) as { event: string; id?: string };
    if (acknowledges && event === 'alarm') client.send(JSON.stringify({ event: 'ack', data: { id } }));
  });
  return client;
}

const append = async (gateway: TestGateway, from: number, to: number) => {
  const alarms = Array.from({ length: to - from + 1 }, (_, i) => ({ businessId: '1', n: from + i }));
  return (await gateway.push.pushAlarms(alarms)).map(({ cursor }) => cursor);
};

describe('alarms and durable subscriptions', () => {
  test('what a client acknowledges at the very end is stored', async () => {
    const alarmLogPath = await temporaryFolder();
    const gateway = await gatewayOn('express').withOptions({ alarmLogPath }).start();
    const client = await connectDurable(gateway, true);
    const cursors = await append(gateway, 1, 20);
    // The close frame of the server goes out right behind the alarms: the acknowledgements come after it.
    await within(gateway.app.close(), 'the application is closed');
    for (let n = 1; n <= 20; n++) expect((await client.nextEvent('alarm')).data['n']).toBe(n);
    const again = await gatewayOn('express').withOptions({ alarmLogPath }).start();
    expect(await again.alarms.subscriptions()).toMatchObject([{ cursor: cursors.at(-1), behind: 0 }]);
  });

  test('a slow store is waited for', async () => {
    const gateway = await gatewayOn('express').start();
    const store = gateway.app.get<SubscriptionStore>(SUBSCRIPTION_STORE, { strict: false });
    const acknowledge = store.acknowledge.bind(store);
    const stored: number[] = [];
    let letGo: (() => void) | undefined;
    store.acknowledge = async (...given) => {
      await new Promise<void>((resolve) => (letGo = resolve));
      stored.push(given[2].offset);
      return acknowledge(...given);
    };
    await connectDurable(gateway, true);
    await append(gateway, 1, 1);
    await until(() => letGo !== undefined, 'the acknowledgement is on its way');
    let isClosed = false;
    const closing = gateway.app.close().then(() => (isClosed = true));
    await until(() => gateway.alarms.count() === 0, 'the client is gone');
    expect(isClosed).toBe(false);
    letGo?.();
    await within(closing, 'the application is closed');
    expect(stored).toEqual([1]);
  });

  test('a store that does not answer does not hold up the end', async () => {
    const gateway = await gatewayOn('express').withOptions({ drainDeadlineMs: 1000 }).start();
    const store = gateway.app.get<SubscriptionStore>(SUBSCRIPTION_STORE, { strict: false });
    let isAsked = false;
    store.acknowledge = () => new Promise(() => (isAsked = true));
    await connectDurable(gateway, true);
    await append(gateway, 1, 1);
    await until(() => isAsked, 'the acknowledgement is on its way');
    await within(gateway.app.close(), 'the application is closed', 3000);
    expect(gateway.alarms.count()).toBe(0);
  });

  test('what is pushed while clients leave is theirs when they come back', async () => {
    const alarmLogPath = await temporaryFolder();
    const gateway = await gatewayOn('express').withOptions({ alarmLogPath, drainWindowMs: 500 }).start();
    const clients = await Promise.all(Array.from({ length: 40 }, () => gateway.connectPushV1('/ws/alarm')));
    const heard = new Map<PushClient, { id: string; n: number }[]>(clients.map((client) => [client, []]));
    for (const client of clients) {
      client.socket.on('message', (text) => {
        const { event, id, data } = JSON.parse(String(text)) as { event: string; id: string; data: { n: number } };
        if (event === 'alarm') heard.get(client)?.push({ id, n: data.n });
      });
    }
    await append(gateway, 1, 1);
    const closing = gateway.app.close();
    let last = 1;
    while (gateway.alarms.count() > 0) await append(gateway, (last += 1), last);
    await within(closing, 'the application is closed');
    const again = await gatewayOn('express').withOptions({ alarmLogPath }).start();
    for (const [client, alarms] of heard) {
      await client.closed;
      const resumed = await again.connectPushV1(`/ws/alarm?lastEventId=${alarms.at(-1)?.id}`);
      const all = alarms.map(({ n }) => n);
      while ((all.at(-1) ?? 0) < last) all.push(Number((await resumed.nextEvent('alarm')).data['n']));
      expect(all).toEqual(Array.from({ length: last }, (_, i) => i + 1));
    }
  });
});
