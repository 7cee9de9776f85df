import { expect, test } from '@jest/globals';
import { seeded } from '../support/random.js';
import { runPureCases } from './pure.cases.js';

const CASES = 100_000;

test('100,000 hostile requests, messages and texts: the functions that look at them keep their promises', async () => {
  await seeded((random) => {
    const tally = runPureCases(random, CASES);
    // Neither all of it is refused nor all of it let through, or nothing was tried.
    expect(tally.requests + tally.messages + tally.texts).toBe(CASES);
    expect(tally.admitted / tally.requests).toBeGreaterThan(0.01);
    expect(tally.admitted / tally.requests).toBeLessThan(0.5);
    expect(tally.understood / tally.messages).toBeGreaterThan(0.1);
    expect(tally.understood / tally.messages).toBeLessThan(0.8);
  })();
}, 60_000);
