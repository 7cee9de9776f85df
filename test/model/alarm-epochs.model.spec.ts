import { afterEach, beforeEach, expect, test } from '@jest/globals';
import { Logger } from '@nestjs/common';
import { seeded } from '../support/random.js';
import { AlarmEpochsModel, newEpochTally } from './alarm-epochs.model.js';

const RUNS = 300;

beforeEach(() => Logger.overrideLogger(false));
afterEach(() => Logger.overrideLogger(['log', 'error', 'warn', 'debug', 'verbose', 'fatal']));

test(
  'every alarm of every epoch arrives once and in order, or lies in a gap that was told, whatever the log loses',
  seeded(async (random) => {
    const tally = newEpochTally();
    for (let run = 0; run < RUNS; run++) await new AlarmEpochsModel(random, tally).run();
    expect(tally.delivered).toBeGreaterThan(20 * RUNS);
    for (const count of Object.values(tally)) expect(count).toBeGreaterThan(RUNS / 10);
  }),
  120_000,
);
