import { DEADLINE_MS, within } from '../../src/testing/deadline.js';

export { DEADLINE_MS, turn, until, within } from '../../src/testing/deadline.js';

/** As `until`, for what has to be asked for. */
export async function untilAsync(
  condition: () => Promise<boolean>,
  what: string,
  deadlineMs = DEADLINE_MS,
): Promise<void> {
  const deadlineAtMs = performance.now() + deadlineMs;
  for (;;) {
    if (await within(condition(), what, Math.max(1, deadlineAtMs - performance.now()))) return;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}
