import { join } from 'node:path';
import { afterAll, beforeAll, expect, jest, test } from '@jest/globals';
import type { Browser, Page } from 'playwright-core';
import { freePort } from '../support/free.port.js';
import { launchChromium } from '../support/chromium.js';
import { describeWith } from '../support/programs.js';
import { CompiledApp } from '../support/compiled.app.js';
import { DemoNode } from '../support/demo.node.js';
import { LoggedProcess } from '../support/logged.process.js';

jest.setTimeout(90_000);
/** A retry may wait for 15 s. */
const BACK_WITHIN = { timeout: 30_000 };

describeWith('chromium', 'examples/page in a browser', () => {
  let app: CompiledApp;
  let browser: Browser;

  beforeAll(async () => {
    [app, browser] = await Promise.all([CompiledApp.compile(), launchChromium()]);
  });
  afterAll(async () => {
    await browser?.close();
    await app.remove();
  });

  async function open(node: DemoNode): Promise<{ page: Page; complaints: string[] }> {
    const port = await freePort();
    const program = join(app.folder, 'examples/page/serve.js');
    const server = LoggedProcess.node(program, app.folder, { PORT: String(port) }, [node.base]);
    await server.logged(/^the page is on/);
    const page = await browser.newPage();
    const complaints: string[] = [];
    page.on('pageerror', (error) => complaints.push(String(error.stack)));
    await page.goto(`http://127.0.0.1:${port}/`);
    return { page, complaints };
  }

  test('shows data and alarms, over restarts of the node and its own reload, and what is missing', async () => {
    const node = await DemoNode.start(app);
    const alarm = (n: number) => node.pushAlarm({ businessId: 'm-7', severity: 700, message: `number ${n}` });
    const { page, complaints } = await open(node);
    const states = page.locator('.state[data-state=open]');
    const bothOpen = () => Promise.all([0, 1].map((index) => states.nth(index).waitFor(BACK_WITHIN)));
    /** The node's own demo has alarms too. */
    const numbered = page.locator('#alarms li', { hasText: 'number' });
    const series = (name: string) => page.locator('.series', { hasText: name });

    await series('cpu.total').locator('output', { hasText: /\d/ }).waitFor();
    await bothOpen();
    await alarm(0);
    await numbered.first().waitFor();
    await page.locator('button', { hasText: /^Subscribe$/ }).click();
    await page.locator('h2', { hasText: 'meter m-7' }).waitFor();
    const push = (value: number) => node.pushRawData({ businessType: 'meter', businessId: 'm-7', series: 'kw', value });
    await push(20);
    await series('m-7 kw').locator('output', { hasText: '20' }).waitFor();

    await node.end();
    await page.locator('#raw-data-state[data-state=waiting]').waitFor();
    await node.startAgain();
    await alarm(1);
    await bothOpen();
    await numbered.nth(1).waitFor(BACK_WITHIN);
    await push(30);
    await series('m-7 kw').locator('output', { hasText: '30' }).waitFor();

    await page.locator('h2', { hasText: 'meter m-7' }).locator('button').click();
    await series('m-7 kw').waitFor({ state: 'detached' });

    await page.reload();
    await alarm(2);
    await numbered.nth(2).waitFor();
    expect(await numbered.allTextContents()).toEqual([2, 1, 0].map((n) => `700 raised m-7 number ${n}`));

    expect(await page.locator('#gap').isHidden()).toBe(true);
    await node.end('SIGKILL');
    await node.forgetAlarms();
    await node.startAgain();
    await page.locator('#gap', { hasText: /epoch/ }).waitFor(BACK_WITHIN);
    await alarm(3);
    await numbered.nth(3).waitFor();
    expect(complaints).toEqual([]);
  });
});
