import { Controller, Get, Header, NotFoundException, Param } from '@nestjs/common';
import type { Browser, Page } from 'playwright-core';
import { launchChromium } from './chromium.js';
import { clientModules } from './client.modules.js';
import { until } from './deadline.js';
import { RestartingGateway } from './restarting.gateway.js';

/** A name of this machine that no page takes for its own. */
export const OTHER_HOST = 'push.test';

const modules = await clientModules();

/**
 * Shows alarms and remembers in its tab what it has shown. `?place=tab` keeps the place there too; else the library keeps
 * it where it does by default.
 */
const PAGE = `<!doctype html>
<meta charset="utf-8">
<title>Alarms</title>
<link rel="icon" href="data:,">
<script type="module">
  import { connectAlarms } from '/client/sdk/index.js';
  const query = new URLSearchParams(location.search);
  const tab = { get: (key) => sessionStorage.getItem(key), set: (key, place) => sessionStorage.setItem(key, place) };
  const page = (window.page = { shown: JSON.parse(sessionStorage.getItem('shown') ?? '[]'), gaps: [], errors: [], opened: 0 });
  const alarms = connectAlarms({
    replay: 'all',
    retryBaseMs: Number(query.get('retryBaseMs')),
    retryCapMs: Number(query.get('retryBaseMs')),
    ...(query.get('place') === 'tab' ? { storage: tab } : {}),
  });
  alarms.on('alarm', ({ n }) => {
    page.shown.push(n);
    sessionStorage.setItem('shown', JSON.stringify(page.shown));
  });
  alarms.on('gap', ({ reason }) => page.gaps.push(reason));
  alarms.on('error', (error) => page.errors.push(String(error)));
  alarms.on('state', ({ state, reason }) => {
    page.state = state;
    page.reason = reason;
    if (state === 'open') page.opened += 1;
  });
</script>
`;

@Controller()
export class ClientPageController {
  @Get()
  @Header('Content-Type', 'text/html')
  page(): string {
    return PAGE;
  }

  @Get('client/:folder/:name')
  @Header('Content-Type', 'text/javascript')
  module(@Param('folder') folder: string, @Param('name') name: string): string {
    const code = modules.get(`${folder}/${name}`);
    if (code === undefined) throw new NotFoundException();
    return code;
  }
}

/** What a page says of itself. */
export interface PageReport {
  readonly shown: number[];
  readonly gaps: string[];
  readonly errors: string[];
  readonly opened: number;
  readonly state: string;
  readonly reason: string;
}

export function reportOf(page: Page): Promise<PageReport> {
  return page.evaluate<PageReport>('page');
}

/** Until the page says so of itself, in an expression over `page`. */
export async function whenPage(page: Page, condition: string): Promise<void> {
  await page.waitForFunction(condition, undefined, { timeout: 15_000 });
}

/** Chromium that finds this machine by {@link OTHER_HOST} too. */
export function launchBrowser(): Promise<Browser> {
  return launchChromium(`--host-resolver-rules=MAP ${OTHER_HOST} 127.0.0.1`);
}

export function startPageServer(alarmLogPath: string): Promise<RestartingGateway> {
  return RestartingGateway.start((builder) =>
    builder.withOptions({ alarmLogPath, allowAnonymous: true }).withControllers(ClientPageController),
  );
}

export interface RestartReport {
  readonly pushed: number;
  readonly tabs: PageReport[];
}

const ALARMS_A_BURST = 25;

/**
 * Two tabs of one browser while the server restarts so many times, alternately in order and dying; one tab is loaded anew in
 * the middle. Alarms are pushed before and behind each restart, and every other time the tabs have not read them when it comes.
 */
export async function restartUnderTabs(
  browser: Browser,
  alarmLogPath: string,
  restarts: number,
): Promise<RestartReport> {
  const server = await startPageServer(alarmLogPath);
  const context = await browser.newContext();
  const [first, second] = [await context.newPage(), await context.newPage()];
  await first.goto(`${server.base}/?retryBaseMs=100&place=tab`);
  await second.goto(`${server.base}/?retryBaseMs=100`);
  const tabs = [first, second];
  const both = (condition: string) => Promise.all(tabs.map((tab) => whenPage(tab, condition)));
  let pushed = 0;
  const push = async () => {
    const burst = Array.from({ length: ALARMS_A_BURST }, (_, i) => ({ businessId: 'm-7', n: pushed + i }));
    await server.current.push.pushAlarms(burst);
    pushed += ALARMS_A_BURST;
  };
  for (let restart = 0; restart < restarts; restart++) {
    // A page may not know yet that the connection is gone which it calls open.
    await until(() => server.current.alarms.count() === tabs.length, 'both tabs are connected', 15_000);
    await both(`page.state === 'open'`);
    await push();
    if (restart % 2 === 0) await both(`page.shown.length >= ${pushed}`);
    if (restart % 4 < 2) await server.stop();
    else await server.cut();
    await server.start();
    await push();
    if (restart === Math.floor(restarts / 2)) {
      await both(`page.shown.length >= ${pushed}`);
      await first.reload();
    }
  }
  await both(`page.state === 'open' && page.shown.length >= ${pushed}`);
  await push();
  await both(`page.shown.length >= ${pushed}`);
  const reports = await Promise.all(tabs.map(reportOf));
  await context.close();
  await until(() => server.current.alarms.count() === 0, 'the tabs are gone');
  return { pushed, tabs: reports };
}
