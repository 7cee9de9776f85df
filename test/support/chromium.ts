import { existsSync } from 'node:fs';
import { describe } from '@jest/globals';
import { type Browser, chromium } from 'playwright-core';

const CHROMIUM = '/usr/bin/chromium';
const ARGUMENTS = [
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
];

/** A suite that needs a browser: skipped with one loud line where the machine has none, and never in CI. */
export function describeInBrowser(name: string, suite: () => void): void {
  const isThere = existsSync(CHROMIUM);
  if (!isThere) process.stderr.write(`\n!!! ${CHROMIUM} is missing: NOT TESTED IN A BROWSER: ${name} !!!\n\n`);
  // In continuous integration a missing browser fails the tests instead.
  (isThere || process.env['CI'] === 'true' ? describe : describe.skip)(name, suite);
}

export function launchChromium(): Promise<Browser> {
  return chromium.launch({ executablePath: CHROMIUM, args: ARGUMENTS });
}
