import type { Page } from 'playwright-core';

// Expressions of the page, as text: the tests themselves know no DOM.
const DRAWING = `document.querySelector('#chart-cpu canvas').toDataURL()`;
const HAS_CHANGED = `(before) => ${DRAWING} !== before`;

/** Until the first chart of the dashboard has a value and is drawn anew. */
export async function chartMoves(page: Page): Promise<void> {
  await page.locator('#chart-cpu .current', { hasText: '%' }).waitFor();
  await page.waitForFunction(HAS_CHANGED, await page.evaluate<string>(DRAWING));
}
