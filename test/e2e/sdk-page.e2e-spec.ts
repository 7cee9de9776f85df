import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from '@jest/globals';
import type { Browser } from 'playwright-core';
import {
  launchBrowser,
  OTHER_HOST,
  reportOf,
  restartUnderTabs,
  startPageServer,
  whenPage,
} from '../support/client.page.js';
import { describeWith } from '../support/programs.js';

const RESTARTS = 20;

describeWith('chromium', 'the client library in Chromium', () => {
  let browser: Browser;
  let folder: string;

  beforeAll(async () => {
    browser = await launchBrowser();
  });

  afterAll(async () => {
    await browser?.close();
  });

  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'sdk-page-'));
  });

  afterEach(async () => {
    await rm(folder, { recursive: true, force: true });
  });

  test(`over ${RESTARTS} restarts of the server two tabs show every alarm once, in order`, async () => {
    const { pushed, tabs } = await restartUnderTabs(browser, folder, RESTARTS);
    const all = Array.from({ length: pushed }, (_, n) => n);
    for (const { shown, gaps, errors } of tabs)
      expect({ shown, gaps, errors }).toEqual({ shown: all, gaps: [], errors: [] });
    expect(tabs[1]?.opened).toBe(RESTARTS + 1);
  }, 90_000);

  test('offline it waits without attempts, and back online it is there at once, with what it missed', async () => {
    const server = await startPageServer(folder);
    const context = await browser.newContext();
    const page = await context.newPage();
    let attempts = 0;
    page.on('websocket', () => (attempts += 1));
    // So long that nothing but the network's return can bring it back in time.
    await page.goto(`http://${OTHER_HOST}:${server.port}/?retryBaseMs=3600000`);
    await whenPage(page, `page.state === 'open'`);
    const push = (n: number) => server.current.push.pushAlarm({ businessId: 'm-7', n });
    await push(0);
    await whenPage(page, 'page.shown.length === 1');
    await context.setOffline(true);
    await whenPage(page, `page.state === 'waiting' && page.reason === 'offline'`);
    await push(1);
    await server.stop();
    await server.start();
    await push(2);
    expect(await reportOf(page)).toMatchObject({ shown: [0], state: 'waiting' });
    expect(attempts).toBe(1);
    await context.setOffline(false);
    await whenPage(page, 'page.shown.length === 3');
    expect(await reportOf(page)).toMatchObject({ shown: [0, 1, 2], gaps: [], errors: [], opened: 2 });
    expect(attempts).toBe(2);
    await context.close();
  }, 60_000);
});
