import { existsSync } from 'node:fs';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import { type Browser, type BrowserContext, chromium, type Locator, type Page } from 'playwright-core';
import { PushService } from '../../src/push.service.js';
import { AlarmRegistry } from '../../src/registry/alarm.registry.js';
import { RawDataRegistry } from '../../src/registry/raw-data.registry.js';
import { startNode, type TestNode } from '../app/node.fixture.js';

const CHROMIUM = '/usr/bin/chromium';
const CHROMIUM_ARGUMENTS = [
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
];
/** Of the server's listening line: by then a chart has moved. */
const MOVING_WITHIN_MS = 5000;
// Expressions of the page, as text: the tests themselves know no DOM.
const HAS_CHANGED = `(before) => document.querySelector('#chart-cpu canvas').toDataURL() !== before`;
const isThere = existsSync(CHROMIUM);

if (!isThere) process.stderr.write(`\n!!! ${CHROMIUM} is missing: THE DASHBOARD IS NOT TESTED IN A BROWSER !!!\n\n`);
// In continuous integration a missing browser fails the tests instead.
const describeInBrowser = isThere || process.env['CI'] === 'true' ? describe : describe.skip;

describeInBrowser('the dashboard in a browser', () => {
  let browser: Browser;
  let context: BrowserContext;
  let node: TestNode;
  let page: Page;
  let listeningAtMs: number;
  const complaints: string[] = [];
  const foreignRequests: string[] = [];

  beforeAll(async () => {
    browser = await chromium.launch({ executablePath: CHROMIUM, args: CHROMIUM_ARGUMENTS });
  });

  afterAll(async () => {
    await browser?.close();
  });

  beforeEach(async () => {
    complaints.length = foreignRequests.length = 0;
    node = await startNode({ PUSH_DEMO: 'true' });
    listeningAtMs = performance.now();
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

  test('both sockets are connected and the charts move within 5 s of the listening line', async () => {
    const leftMs = MOVING_WITHIN_MS - (performance.now() - listeningAtMs);
    const timeout = { timeout: leftMs };
    await page.locator('#chart-cpu .current', { hasText: '%' }).waitFor(timeout);
    const canvas = page.locator('#chart-cpu canvas');
    const drawing = await drawingOf(canvas);
    await page.waitForFunction(HAS_CHANGED, drawing, timeout);
    for (const name of ['memory', 'load', 'network', 'disk'])
      await page.locator(`#chart-${name} canvas`).waitFor(timeout);
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
    const before = registries.flatMap((registry) => registry.clients().map(({ clientId }) => clientId));
    expect(before).toHaveLength(2);
    for (const registry of registries)
      for (const { clientId } of registry.clients()) registry.disconnect(clientId, 1012);
    await page.locator('.connection[data-phase="waiting"]').first().waitFor();
    await connected();
    const after = registries.flatMap((registry) => registry.clients().map(({ clientId }) => clientId));
    expect(after).toHaveLength(2);
    expect(after.filter((clientId) => before.includes(clientId))).toEqual([]);
  });

  test.each([360, 768, 1280])('nothing has to be scrolled sideways at %i px', async (width) => {
    await connected();
    await page.setViewportSize({ width, height: 780 });
    await page.locator('#chart-cpu canvas').waitFor();
    expect(await page.evaluate('document.documentElement.scrollWidth')).toBeLessThanOrEqual(width);
  });
});

function drawingOf(canvas: Locator): Promise<string> {
  return canvas.evaluate((element: { toDataURL(): string }) => element.toDataURL());
}
