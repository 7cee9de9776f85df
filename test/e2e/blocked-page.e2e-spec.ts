import { expect, test } from '@jest/globals';
import { blockPage, chromium } from '../support/blocked-page.js';
import { describeWith } from '../support/programs.js';

const BLOCK_MS = 3000;
/** The window of 64 KiB holds some 270 data, and some are on their way when the page wakes. */
const MOST_STALE = 400;

describeWith('chromium', 'a page that was blocked', () => {
  test('reads little that is old when it wakes, and goes on with what is new', async () => {
    const report = await blockPage(chromium, BLOCK_MS);
    expect(report.blockedMs).toBeGreaterThanOrEqual(BLOCK_MS);
    expect(report.marks).toBeGreaterThan(0);
    expect(report.stale).toBeLessThanOrEqual(MOST_STALE);
    expect(report.oldestMs).toBeLessThanOrEqual(report.blockedMs + 1000);
    expect(report.conflated).toBeGreaterThan(BLOCK_MS / 2);
    expect(report.after).toBeGreaterThan(report.stale);
    expect(report.faults).toBe(0);
  }, 60_000);
});
