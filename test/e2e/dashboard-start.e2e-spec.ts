import { afterAll, beforeAll, expect, test } from '@jest/globals';
import type { Browser } from 'playwright-core';
import { startNode } from '../app/node.fixture.js';
import { launchChromium } from '../support/chromium.js';
import { chartMoves } from '../support/moving.chart.js';
import { describeWith } from '../support/programs.js';

const MOVING_WITHIN_MS = 5000;

describeWith('chromium', 'the dashboard of a node that has just started', () => {
  let browser: Browser;

  beforeAll(async () => {
    browser = await launchChromium();
  });

  afterAll(async () => {
    await browser?.close();
  });

  test('has charts that move within 5 s of the listening line', async () => {
    const node = await startNode({ PUSH_DEMO: 'true' });
    const listeningAtMs = performance.now();
    const page = await browser.newPage();
    await page.goto(`http://127.0.0.1:${node.port}/`);
    await chartMoves(page);
    expect(performance.now() - listeningAtMs).toBeLessThan(MOVING_WITHIN_MS);
    await page.close();
  });
});
