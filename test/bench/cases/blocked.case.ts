import {
  blockPage,
  type BlockedPageReport,
  type Browser,
  chromium,
  firefox,
  isInstalled,
} from '../../support/blocked-page.js';
import { atMost, type Bar, type Row } from '../report.js';
import type { BenchCase } from './bench.case.js';

const BROWSERS = [chromium, firefox];
const MOST_STALE = 400;
const OVER_BLOCK_MS = 1000;

export const blocked: BenchCase = {
  name: 'blocked',
  title: 'blocked: a page on push.v1 blocks itself for 8 s, one series of 200 bytes at 1 kHz',
  async run({ isQuick }) {
    const rows: Row[] = [];
    const bars: Bar[] = [];
    const notes = ['the browsers count among the other processes'];
    for (const browser of BROWSERS) {
      const isThere = isInstalled(browser);
      if (!isThere) notes.push(`${browser.name} skipped: ${browser.executable} is missing`);
      const report = isThere ? await blockPage(browser, isQuick ? 3000 : 8000) : undefined;
      if (report !== undefined) rows.push(rowOf(browser, report));
      bars.push(...barsOf(browser, report));
    }
    return { rows, bars, notes };
  },
};

function rowOf({ name }: Browser, report: BlockedPageReport): Row {
  return {
    contender: name,
    values: {
      'blocked ms': report.blockedMs,
      'data before': report.before,
      'data after': report.after,
      stale: report.stale,
      'oldest ms': report.oldestMs,
      conflated: report.conflated,
      marks: report.marks,
    },
  };
}

function barsOf({ name }: Browser, report: BlockedPageReport | undefined): Bar[] {
  const overBlockMs = report === undefined ? undefined : Math.max(0, report.oldestMs - report.blockedMs);
  return [
    atMost(`${name}: data older than 250 ms after it woke`, report?.stale, MOST_STALE),
    atMost(`${name}: age of the oldest, over the block`, overBlockMs, OVER_BLOCK_MS, ' ms'),
    atMost(`${name}: data that went backwards`, report?.faults, 0),
  ];
}
