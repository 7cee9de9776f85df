import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, expect, jest, test } from '@jest/globals';
import type { Browser, BrowserContext, Page } from 'playwright-core';
import { hostBusinessId } from '../../src/app/demo/host.telemetry.js';
import { PushService } from '../../src/push.service.js';
import { AlarmRegistry } from '../../src/registry/alarm.registry.js';
import { RawDataRegistry } from '../../src/registry/raw-data.registry.js';
import { HostSampler } from '../../src/app/demo/host.sampler.js';
import { createTestApp, startNode, TestNode } from '../app/node.fixture.js';
import { launchChromium } from '../support/chromium.js';
import { until } from '../support/deadline.js';
import { chartMoves } from '../support/moving.chart.js';
import { describeWith } from '../support/programs.js';

/** The first retry comes within a second. */
const BACK_WITHIN_MS = 15_000;

describeWith('chromium', 'the dashboard in a browser', () => {
  let browser: Browser;
  let context: BrowserContext;
  let node: TestNode;
  let page: Page;
  const complaints: string[] = [];
  const foreignRequests: string[] = [];

  beforeAll(async () => {
    browser = await launchChromium();
  });

  afterAll(async () => {
    await browser?.close();
  });

  beforeEach(async () => {
    complaints.length = foreignRequests.length = 0;
    node = await startNode({ PUSH_DEMO: 'true' });
    context = await browser.newContext({ viewport: { width: 1280, height: 900 } });
    page = await context.newPage();
    page.on('console', (message) => {
      if (['error', 'warning'].includes(message.type())) complaints.push(message.text());
    });
    page.on('pageerror', (error) => complaints.push(String(error.stack)));
    const origin = `127.0.0.1:${node.port}`;
    page.on('request', (request) => {
      if (new URL(request.url()).host !== origin) foreignRequests.push(request.url());
    });
    page.on('websocket', (socket) => {
      if (new URL(socket.url()).host !== origin) foreignRequests.push(socket.url());
    });
    await page.goto(`http://${origin}/`);
  });

  afterEach(async () => {
    await context.close();
    if (complaints.length > 0) throw new Error(`the page complained:\n${complaints.join('\n')}`);
    if (foreignRequests.length > 0) throw new Error(`the page asked other hosts: ${foreignRequests.join(', ')}`);
  });

  const connected = () =>
    Promise.all(
      ['#raw-data-state', '#alarm-state'].map((place) => page.locator(`${place}[data-phase="open"]`).waitFor()),
    );

  test('both sockets are connected and the charts move', async () => {
    await chartMoves(page);
    for (const name of ['memory', 'load', 'network', 'disk']) await page.locator(`#chart-${name} canvas`).waitFor();
    await connected();
    const { clients } = (await node.send('/push/clients')).body as { clients: { wireFormat: string }[] };
    expect(clients.map(({ wireFormat }) => wireFormat)).toEqual(['push.v1', 'push.v1']);
  });

  test('an alarm pushed by the form appears, and its condition is cleared in the same row', async () => {
    await connected();
    await page.getByText('Alarm', { exact: true }).click();
    await page.getByLabel('Message').fill('Door left open');
    await page.getByRole('button', { name: 'Push alarm' }).click();
    const row = page.locator('.alarm', { hasText: 'Door left open' });
    await row.getByText('Active').waitFor();
    await page.locator('#answer[data-kind="success"]', { hasText: '201' }).waitFor();
    await page.getByLabel('State').selectOption('cleared');
    await page.getByRole('button', { name: 'Push alarm' }).click();
    await row.getByText('Cleared').waitFor();
    expect(await row.count()).toBe(1);
  });

  test('a raw datum pushed by the form appears and is drawn', async () => {
    await connected();
    await page.getByLabel('Value', { exact: true }).fill('42.5');
    await page.getByRole('button', { name: 'Push datum' }).click();
    await page.locator('#received li', { hasText: 'demo · sensor-1 · temperature' }).getByText('42.5').waitFor();
    await page.locator('#answer', { hasText: '202 accepted, 1 client matched' }).waitFor();
    await page.locator('#custom-chart canvas').waitFor();
    expect(await page.locator('#custom-current').textContent()).toBe('42.5');
  });

  test('a refused push says why', async () => {
    await page.getByLabel('Business type').fill('..');
    await page.getByRole('button', { name: 'Push datum' }).click();
    await page.locator('#answer[data-kind="failure"]', { hasText: 'businessType must not be' }).waitFor();
    // The browser itself reports every answer of 400.
    expect(complaints.splice(0)).toEqual([expect.stringContaining('400')]);
  });

  test('what is pushed is shown as text, whatever it holds', async () => {
    await connected();
    const markup = '<img src=x onerror="document.title=`broken`">';
    const pushService = node.app.get(PushService, { strict: false });
    await pushService.pushAlarm({ businessId: markup, message: markup, severity: 1 });
    await page.locator('.alarm .message', { hasText: markup }).waitFor();
    pushService.pushRawData({ businessType: 'other', series: markup, value: markup });
    await page.locator('#received li', { hasText: markup }).waitFor();
    expect(await page.locator('main img').count()).toBe(0);
  });

  test('it connects again after the server closed its sockets', async () => {
    await connected();
    const registries = [RawDataRegistry, AlarmRegistry].map((registry) => node.app.get(registry, { strict: false }));
    const clientIds = () => registries.flatMap((registry) => registry.clients().map(({ clientId }) => clientId));
    const before = clientIds();
    expect(before).toHaveLength(2);
    for (const registry of registries)
      for (const { clientId } of registry.clients()) registry.disconnect(clientId, 1012);
    const areAllNew = () => clientIds().length === 2 && !clientIds().some((clientId) => before.includes(clientId));
    await until(areAllNew, 'both are connected again', BACK_WITHIN_MS);
    await connected();
    expect(areAllNew()).toBe(true);
  });

  test.each([360, 768, 1280])('nothing has to be scrolled sideways at %i px', async (width) => {
    await connected();
    await page.setViewportSize({ width, height: 780 });
    await page.locator('#chart-cpu canvas').waitFor();
    expect(await page.evaluate('document.documentElement.scrollWidth')).toBeLessThanOrEqual(width);
  });
});

describeWith('chromium', 'the alarms of the dashboard, after a reload and after a restart of the server', () => {
  const SHOWN_WITHIN_MS = 15_000;
  const MESSAGES = `[...document.querySelectorAll('#alarms .message')].map((place) => place.textContent)`;
  const NO_STORAGE = `Object.defineProperty(window, 'localStorage', { get() { throw new Error('no storage'); } })`;
  let browser: Browser;
  let context: BrowserContext;
  let page: Page;
  let node: TestNode | undefined;
  let port: number;
  let folders: string[];
  let complaints: string[];

  beforeAll(async () => {
    browser = await launchChromium();
  });

  afterAll(async () => {
    await browser?.close();
  });

  beforeEach(async () => {
    // However busy this machine is, it raises no alarms of its own here.
    const calm = [{ series: 'memory.usedPercent', value: 10, unit: '%' }] as const;
    jest.spyOn(HostSampler.prototype, 'sample').mockResolvedValue([...calm]);
    folders = [];
    complaints = [];
    port = 0;
    context = await browser.newContext({ viewport: { width: 1280, height: 900 } });
    page = await context.newPage();
    page.on('pageerror', (error) => complaints.push(String(error.stack)));
  });

  afterEach(async () => {
    await context.close();
    await stop();
    jest.restoreAllMocks();
    await Promise.all(folders.map((folder) => rm(folder, { recursive: true, force: true })));
    if (complaints.length > 0) throw new Error(`the page complained:\n${complaints.join('\n')}`);
  });

  const newFolder = async () => {
    const folder = await mkdtemp(join(tmpdir(), 'dashboard-'));
    folders.push(folder);
    return folder;
  };

  /** On the port that the page knows. */
  const start = async (folder: string, variables: Record<string, string> = {}) => {
    const environment = { PUSH_DEMO: 'true', PUSH_ALARM_LOG_PATH: folder, ...variables };
    const app = await createTestApp(environment);
    node = new TestNode(app);
    await app.listen(port, '127.0.0.1');
    port = node.port;
  };

  const stop = async () => {
    await node?.close();
    node = undefined;
  };

  const open = () => page.goto(`http://127.0.0.1:${port}/`);
  const connected = () => page.locator('#alarm-state[data-phase="open"]').waitFor();
  const push = async (...messages: string[]) => {
    const pushService = node?.app.get(PushService, { strict: false });
    await pushService?.pushAlarms(messages.map((message) => ({ businessId: 'door', severity: 300, message })));
  };
  /** Newest first, once the page shows this or has had its time. The machine itself may raise alarms meanwhile. */
  const shown = async (expected: string[]) => {
    const untilMs = performance.now() + SHOWN_WITHIN_MS;
    for (;;) {
      const messages = await page.evaluate<string[]>(MESSAGES);
      if (messages.join() === expected.join() || performance.now() > untilMs) return messages;
      await page.waitForTimeout(50);
    }
  };

  test('a first visit shows the last 50 alarms of before', async () => {
    await start(await newFolder());
    await push(...upTo(60).toReversed());
    await open();
    expect(await shown(upTo(60).slice(0, 50))).toEqual(upTo(60).slice(0, 50));
  });

  test('a reload keeps the alarms, their order and their conditions, each once', async () => {
    await start(await newFolder());
    await open();
    await connected();
    await push('alarm 1', 'alarm 2');
    const pushService = node?.app.get(PushService, { strict: false });
    await pushService?.pushAlarm({ businessId: 'door', conditionId: 'open', active: true, message: 'open' });
    await push('alarm 3');
    const before = ['open', 'alarm 3', 'alarm 2', 'alarm 1'];
    expect(await shown(before)).toEqual(before);
    await page.reload();
    await connected();
    expect(await shown(before)).toEqual(before);
    await push('alarm 4');
    // The address has changed: the condition is the same all the same.
    await pushService?.pushAlarm({ businessId: 'gate', conditionId: 'open', active: false, message: 'shut' });
    expect(await shown(['shut', 'alarm 4', 'alarm 3', 'alarm 2', 'alarm 1'])).toEqual([
      'shut',
      'alarm 4',
      'alarm 3',
      'alarm 2',
      'alarm 1',
    ]);
    await page.reload();
    await connected();
    expect(await shown(['shut', 'alarm 4', 'alarm 3', 'alarm 2', 'alarm 1'])).toEqual([
      'shut',
      'alarm 4',
      'alarm 3',
      'alarm 2',
      'alarm 1',
    ]);
    expect(await page.locator('#alarm-gap').isVisible()).toBe(false);
  });

  test('what is pushed while nobody has the page open is there afterwards', async () => {
    await start(await newFolder());
    await open();
    await push('alarm 1');
    expect(await shown(upTo(1))).toEqual(upTo(1));
    await page.goto('about:blank');
    await push(...upTo(200).slice(0, -1).toReversed());
    await open();
    expect(await shown(upTo(200).slice(0, 100))).toEqual(upTo(200).slice(0, 100));
    expect(await page.locator('#alarm-gap').isVisible()).toBe(false);
  });

  test('after a restart of the server the page gets what was pushed while it was reconnecting', async () => {
    const folder = await newFolder();
    await start(folder);
    await open();
    await connected();
    await push('alarm 1');
    expect(await shown(upTo(1))).toEqual(upTo(1));
    await stop();
    await page.locator('#alarm-state[data-phase="waiting"]').waitFor();
    await start(folder);
    await push('alarm 2', 'alarm 3');
    await connected();
    await push('alarm 4');
    expect(await shown(upTo(4))).toEqual(upTo(4));
    expect(await page.locator('#alarm-gap').isVisible()).toBe(false);
  });

  test('a condition of this machine that an earlier process raised is cleared when its value is back', async () => {
    const folder = await newFolder();
    await start(folder, { PUSH_DEMO: 'false' });
    const businessId = hostBusinessId();
    const conditionId = `host/${businessId}/memory.usedPercent`;
    const pushService = node?.app.get(PushService, { strict: false });
    await pushService?.pushAlarm({ businessId, conditionId, active: true, message: 'Memory in use is 99 %, above 90' });
    await stop();
    await start(folder);
    await open();
    const row = page.locator('.alarm', { hasText: conditionId });
    await row.getByText('Memory in use is back to').waitFor();
    await row.getByText('Cleared').waitFor();
    expect(await row.count()).toBe(1);
  });

  test('a new log of the server is a gap, which stays until it is dismissed', async () => {
    await start(await newFolder());
    await open();
    await connected();
    const pushService = node?.app.get(PushService, { strict: false });
    await pushService?.pushAlarm({ businessId: 'door', conditionId: 'open', active: true, message: 'open' });
    expect(await shown(['open'])).toEqual(['open']);
    await stop();
    await start(await newFolder());
    await push('alarm 1');
    const gap = page.locator('#alarm-gap', { hasText: 'the alarm log of the server has begun anew' });
    await gap.waitFor();
    await page.locator('.alarm', { hasText: 'open' }).getByText('Active before the gap').waitFor();
    expect(await shown(['open', 'alarm 1'])).toEqual(['open', 'alarm 1']);
    await page.reload();
    await connected();
    await gap.waitFor();
    expect(await shown(['open', 'alarm 1'])).toEqual(['open', 'alarm 1']);
    await gap.getByRole('button', { name: 'Dismiss' }).click();
    await gap.waitFor({ state: 'hidden' });
    await page.reload();
    await connected();
    expect(await gap.isVisible()).toBe(false);
    expect(await shown(['open', 'alarm 1'])).toEqual(['open', 'alarm 1']);
  });

  test('alarms that the retention has removed meanwhile are a gap', async () => {
    await start(await newFolder(), { PUSH_ALARM_RETENTION: '3' });
    await open();
    await connected();
    await push('alarm 1');
    expect(await shown(upTo(1))).toEqual(upTo(1));
    await page.goto('about:blank');
    for (const message of upTo(9).slice(0, -1).toReversed()) await push(message);
    await open();
    expect(await shown(['alarm 9', 'alarm 8', 'alarm 7', 'alarm 1'])).toEqual([
      'alarm 9',
      'alarm 8',
      'alarm 7',
      'alarm 1',
    ]);
    await page.locator('#alarm-gap', { hasText: 'the server had removed them' }).waitFor();
  });

  test('a log that is older than the page is a gap, and nothing is shown twice', async () => {
    await start(await newFolder());
    await page.addInitScript(`
      const stored = JSON.parse(localStorage.getItem('push-gateway.alarms') ?? '{}');
      if (stored.lastId?.endsWith('.2')) {
        localStorage.setItem('push-gateway.alarms', JSON.stringify({ ...stored, lastId: stored.lastId + '0' }));
      }
    `);
    await open();
    await connected();
    await push('alarm 1', 'alarm 2');
    expect(await shown(upTo(2))).toEqual(upTo(2));
    await page.reload();
    await page.locator('#alarm-gap', { hasText: 'is older than what this page shows' }).waitFor();
    expect(await shown(upTo(2))).toEqual(upTo(2));
  });

  test('without storage the page works, and a drop loses nothing', async () => {
    const folder = await newFolder();
    await start(folder);
    await push('alarm 1');
    await page.addInitScript(NO_STORAGE);
    await open();
    await connected();
    expect(await shown(upTo(1))).toEqual(upTo(1));
    await stop();
    await start(folder);
    await push('alarm 2');
    expect(await shown(upTo(2))).toEqual(upTo(2));
    await page.reload();
    await connected();
    expect(await shown(upTo(2))).toEqual(upTo(2));
  });

  test('what is stored and cannot be used is left aside', async () => {
    await start(await newFolder());
    await push('alarm 1');
    await page.addInitScript(
      `localStorage.setItem('push-gateway.alarms', '{"lastId":"e.99999999999999999","entries":[]}')`,
    );
    await open();
    await connected();
    expect(await shown(upTo(1))).toEqual(upTo(1));
  });
});

/** Newest first. */
function upTo(count: number): string[] {
  return Array.from({ length: count }, (_, i) => `alarm ${count - i}`);
}
