import { type Browser, chromium } from 'playwright-core';
import { CHROMIUM, CHROMIUM_ARGUMENTS } from './chromium.program.js';

export function launchChromium(...others: readonly string[]): Promise<Browser> {
  return chromium.launch({ executablePath: CHROMIUM, args: [...CHROMIUM_ARGUMENTS, ...others] });
}
