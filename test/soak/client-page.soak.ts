import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import type { Browser } from 'playwright-core';
import { launchBrowser, restartUnderTabs } from '../support/client.page.js';

const RESTARTS = 100;

let browser: Browser;
let folder: string;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'client-page-'));
  browser = await launchBrowser();
});

afterAll(async () => {
  await browser?.close();
  await rm(folder, { recursive: true, force: true });
});

test(`over ${RESTARTS} restarts of the server two tabs in Chromium show every alarm once, in order`, async () => {
  const { pushed, tabs } = await restartUnderTabs(browser, folder, RESTARTS);
  const all = Array.from({ length: pushed }, (_, n) => n);
  for (const { shown, gaps, errors } of tabs)
    expect({ shown, gaps, errors }).toEqual({ shown: all, gaps: [], errors: [] });
  expect(tabs[1]?.opened).toBe(RESTARTS + 1);
  process.stdout.write(`${RESTARTS} restarts, ${pushed} alarms, 2 tabs: none missed, none shown twice\n`);
});
