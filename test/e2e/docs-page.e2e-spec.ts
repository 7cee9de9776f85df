import { afterAll, beforeAll, expect, test } from '@jest/globals';
import type { Browser } from 'playwright-core';
import { startNode } from '../app/node.fixture.js';
import { launchChromium } from '../support/chromium.js';
import { describeWith } from '../support/programs.js';

describeWith('chromium', 'the page of the HTTP routes in a browser', () => {
  let browser: Browser;

  beforeAll(async () => {
    browser = await launchChromium();
  });

  afterAll(async () => {
    await browser?.close();
  });

  test('shows every route, tries one, breaks no rule of its headers and asks no other host', async () => {
    const node = await startNode({ PUSH_DOCS: 'true' });
    const origin = `http://127.0.0.1:${node.port}`;
    const page = await browser.newPage();
    const faults: string[] = [];
    page.on('console', (message) => {
      if (['error', 'warning'].includes(message.type())) faults.push(message.text());
    });
    page.on('pageerror', (error) => faults.push(String(error.stack)));
    page.on('request', (request) => {
      const url = request.url();
      if (!url.startsWith(`${origin}/`) && !url.startsWith('data:')) faults.push(url);
    });
    // A link may name a document of another host; it must not be fetched.
    await page.goto(`${origin}/docs?url=https://evil.example/openapi.json`);
    await page.locator('#operations-push-pushRawData').waitFor();
    const { paths } = (await node.send('/docs-json')).body as { paths: object };
    expect(await page.locator('.opblock').count()).toBe(Object.keys(paths).length);

    await page.locator('#operations-push-pushRawData .opblock-summary-control').click();
    await page.locator('#operations-push-pushRawData button.execute').click();
    const answer = page.locator('#operations-push-pushRawData .live-responses-table .response');
    await answer.waitFor();
    expect(await answer.innerText()).toMatch(/^202[^]*"accepted": 1/);
    expect(faults).toEqual([]);
    await page.close();
  });
});
