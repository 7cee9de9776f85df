import { CHROMIUM, CHROMIUM_ARGUMENTS } from './chromium.program.js';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import type { Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Body, Controller, Get, Header, Module, Post } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { PushModule, PushService } from '../../src/index.js';
import { within } from './deadline.js';

/** Data older than this are stale to who looks at the page. */
export const STALE_MS = 250;
/** Enough for marks to have come and gone. */
const DATA_BEFORE_BLOCK = 1000;
/** With what was sent this long after the page woke, everything older has arrived or was replaced. */
const FOLLOWED_MS = 1000;
const DATUM_BYTES = 200;
const START_DEADLINE_MS = 30_000;
const END_DEADLINE_MS = 5000;
const KEY = { businessType: 'meter', businessId: 'm-7', series: 'kw' };

/** What a page saw that followed one series at 1 kHz and blocked itself for a while. */
export interface BlockedPageReport {
  /** As long as the block really took. */
  readonly blockedMs: number;
  /** Data that arrived before the block, and after it. */
  readonly before: number;
  readonly after: number;
  /** How many of those after it were older than {@link STALE_MS}. */
  readonly stale: number;
  /** Age at arrival of the oldest datum of all. */
  readonly oldestMs: number;
  /** Data that were not newer than the one before them. */
  readonly faults: number;
  /** Sum of the counts of `conflated`. */
  readonly conflated: number;
  readonly marks: number;
}

/** Runs in the browser. The clock is the machine's, so the page's is the server's. */
const PAGE = `<!doctype html>
<meta charset="utf-8">
<title>A page that blocks itself</title>
<link rel="icon" href="data:,">
<script type="module">
  const blockMs = Number(new URLSearchParams(location.search).get('blockMs'));
  const report = { blockedMs: 0, before: 0, after: 0, stale: 0, oldestMs: 0, faults: 0, conflated: 0, marks: 0 };
  let newest = -1;
  let wokeAt = Infinity;

  function take({ n, sentAt }) {
    const now = Date.now();
    const hasBlocked = now >= wokeAt;
    report[hasBlocked ? 'after' : 'before'] += 1;
    if (hasBlocked && now - sentAt > ${STALE_MS}) report.stale += 1;
    report.oldestMs = Math.max(report.oldestMs, now - sentAt);
    if (n <= newest) report.faults += 1;
    newest = n;
    if (report.before === ${DATA_BEFORE_BLOCK} && !hasBlocked) block(now);
    else if (sentAt >= wokeAt + ${FOLLOWED_MS}) finish();
  }

  function block(from) {
    while (Date.now() < from + blockMs);
    wokeAt = Date.now();
    report.blockedMs = wokeAt - from;
  }

  function finish() {
    socket.close();
    socket.onmessage = null;
    fetch('/report', { method: 'POST', headers: { 'Content-Type': 'application/json' }, body: JSON.stringify(report) });
  }

  const path = '/ws/rowdata/${KEY.businessType}/${KEY.businessId}/page';
  const socket = new WebSocket(location.origin.replace(/^http/, 'ws') + path, 'push.v1');
  socket.onmessage = ({ data: text }) => {
    const { event, data } = JSON.parse(text);
    if (event === 'mark') {
      report.marks += 1;
      socket.send(text);
    } else if (event === 'rawData') take(data);
    else if (event === 'conflated') report.conflated += data.count;
  };
</script>
`;

@Controller()
class PageController {
  private take: (report: BlockedPageReport) => void = () => {};
  readonly report = new Promise<BlockedPageReport>((resolve) => (this.take = resolve));

  @Get()
  @Header('Content-Type', 'text/html')
  page(): string {
    return PAGE;
  }

  @Post('report')
  takeReport(@Body() report: BlockedPageReport): void {
    this.take(report);
  }
}

@Module({ imports: [PushModule.forRoot({ alarmLogPath: '' })], controllers: [PageController] })
class PageModule {}

export interface Browser {
  readonly name: string;
  readonly executable: string;
  parameters(profile: string, url: string): string[];
  /** Of its profile: content by name. */
  readonly files: Readonly<Record<string, string>>;
}

export const chromium: Browser = {
  name: 'Chromium',
  executable: CHROMIUM,
  parameters: (profile, url) => ['--headless', ...CHROMIUM_ARGUMENTS, `--user-data-dir=${profile}`, url],
  files: {},
};

export const firefox: Browser = {
  name: 'Firefox',
  executable: '/usr/bin/firefox-esr',
  parameters: (profile, url) => ['--headless', '--no-remote', '--profile', profile, url],
  files: {
    // No pages of its own at the first start, and no question about the script that blocks.
    'user.js': `user_pref('browser.aboutwelcome.enabled', false);
user_pref('browser.shell.checkDefaultBrowser', false);
user_pref('browser.startup.homepage_override.mstone', 'ignore');
user_pref('datareporting.policy.dataSubmissionEnabled', false);
user_pref('dom.max_script_run_time', 0);
`,
  },
};

export function isInstalled({ executable }: Browser): boolean {
  return existsSync(executable);
}

/** Shows a page of a gateway of its own in the browser, and gives what the page says of itself. */
export async function blockPage(browser: Browser, blockMs: number): Promise<BlockedPageReport> {
  const app = await NestFactory.create(PageModule, { logger: false });
  await app.listen(0, '127.0.0.1');
  const stopPushing = pushEachMillisecond(app.get(PushService));
  const { port } = (app.getHttpServer() as Server).address() as AddressInfo;
  try {
    const url = `http://127.0.0.1:${port}/?blockMs=${blockMs}`;
    return await inBrowser(browser, url, app.get(PageController).report, START_DEADLINE_MS + blockMs + FOLLOWED_MS);
  } finally {
    stopPushing();
    await app.close();
  }
}

/** One series; what a timer is late with follows at once. */
function pushEachMillisecond(push: PushService): () => void {
  const place = { ...KEY, n: 1_000_000, sentAt: Date.now() };
  const note = 'x'.repeat(DATUM_BYTES - JSON.stringify({ ...place, note: '' }).length);
  let dueAt = Date.now();
  const timer = setInterval(() => {
    for (; dueAt <= Date.now(); dueAt++) {
      place.n += 1;
      place.sentAt = Date.now();
      push.pushRawData({ ...place, note });
    }
  }, 1);
  return () => clearInterval(timer);
}

/** The browser lives until the page has reported, with everything that it writes in a folder of its own. */
async function inBrowser<T>(browser: Browser, url: string, report: Promise<T>, deadlineMs: number): Promise<T> {
  const home = mkdtempSync(join(tmpdir(), 'blocked-page-'));
  for (const [name, content] of Object.entries(browser.files)) writeFileSync(join(home, name), content);
  const { PATH = '' } = process.env;
  const child = spawn(browser.executable, browser.parameters(home, url), {
    stdio: 'ignore',
    env: { PATH, HOME: home, TMPDIR: home },
    // In a process group of its own, to be ended as one.
    detached: true,
  });
  const cleanUp = () => {
    signalGroup(child, 'SIGKILL');
    rmSync(home, { recursive: true, force: true, maxRetries: 10, retryDelay: 100 });
  };
  process.on('exit', cleanUp);
  const ended = once(child, 'exit');
  const endedEarly = ended.then(() => Promise.reject(new Error(`${browser.name} ended by itself`)));
  try {
    return await within(Promise.race([report, endedEarly]), `${browser.name} reports`, deadlineMs);
  } finally {
    signalGroup(child, 'SIGTERM');
    await within(ended, `${browser.name} ends`, END_DEADLINE_MS).catch(() => {});
    process.off('exit', cleanUp);
    cleanUp();
  }
}

function signalGroup({ pid }: ChildProcess, signal: NodeJS.Signals): void {
  if (pid === undefined) return;
  try {
    process.kill(-pid, signal);
  } catch {
    // Nobody is left in it.
  }
}
