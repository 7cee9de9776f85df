import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { Logger } from '@nestjs/common';
import { type Random, seeded } from '../support/random.js';
import { LastValuesModel, newLastValuesTally } from './last-values.model.js';

const RUNS = 150;

beforeEach(() => Logger.overrideLogger(false));
afterEach(() => Logger.overrideLogger(['log', 'error', 'warn', 'debug', 'verbose', 'fatal']));

describe('last values of several nodes', () => {
  test(
    'each client is shown the last values and then all that is pushed, whatever happens in whichever order',
    seeded(async (random: Random) => {
      const tally = newLastValuesTally();
      for (let run = 0; run < RUNS; run++) await new LastValuesModel(random, tally).run();
      expect(tally.heard).toBeGreaterThan(RUNS);
      expect(tally.snapshots).toBeGreaterThan(RUNS);
      expect(tally.waited).toBeGreaterThan(RUNS);
      expect(tally.faults).toBeGreaterThan(RUNS / 3);
    }),
  );
});
