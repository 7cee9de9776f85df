import { afterEach, beforeEach, describe, expect, jest, test } from '@jest/globals';
import { Logger } from '@nestjs/common';
import { seeded } from '../support/random.js';
import { type ModelSettings, type ModelTally, RatesAndSnapshotsModel } from './rates-and-snapshots.model.js';

const OPERATIONS = 4000;
const SETTINGS: ModelSettings = {
  options: {},
  maxClients: 12,
  stalls: false,
  limits: false,
  subscribesAgain: false,
  pass: (ms) => jest.advanceTimersByTime(ms),
};

beforeEach(() => {
  Logger.overrideLogger(false);
  jest.useFakeTimers();
});

afterEach(() => {
  jest.useRealTimers();
  Logger.overrideLogger(['log', 'error', 'warn', 'debug', 'verbose', 'fatal']);
});

describe('snapshots, limits and live data come as a naive model of them says', () => {
  const runs: [string, Partial<ModelSettings>, (tally: ModelTally) => void][] = [
    ['to those who read on', {}, ({ replaced }) => expect(replaced).toBe(0)],
    [
      'to those who stop reading now and then',
      { stalls: true },
      ({ replaced }) => expect(replaced).toBeGreaterThan(20),
    ],
    ['at most so many a second', { limits: true }, ({ replaced }) => expect(replaced).toBeGreaterThan(200)],
    [
      'at most so many a second, to those who stop now and then',
      { limits: true, stalls: true },
      ({ replaced }) => expect(replaced).toBeGreaterThan(200),
    ],
    ['merged', { options: { delivery: 'merge' }, stalls: true, limits: true }, () => {}],
    ['joined for 20 ms', { options: { flushIntervalMs: 20 }, limits: true, stalls: true }, () => {}],
  ];

  test.each(runs)('%s', (_what, settings, checkTally) =>
    seeded((random) => {
      const model = new RatesAndSnapshotsModel(random, { ...SETTINGS, ...settings });
      model.run(OPERATIONS);
      expect(model.tally.pushes).toBeGreaterThan(OPERATIONS / 2);
      expect(model.tally.delivered).toBeGreaterThan(OPERATIONS / 2);
      expect(model.tally.remembered).toBeGreaterThan(20);
      if (settings.stalls === true) expect(model.tally.stalls).toBeGreaterThan(30);
      checkTally(model.tally);
    })(),
  );
});

describe('who subscribes again, with a snapshot or history, holds the final value in the end', () => {
  const runs: [string, Partial<ModelSettings>][] = [
    ['while it reads on', {}],
    ['while it stops reading now and then', { stalls: true }],
    ['merged', { options: { delivery: 'merge', flushIntervalMs: 20 } }],
    ['at most so many a second', { limits: true }],
  ];

  test.each(runs)('%s', (_what, settings) =>
    seeded((random) => {
      const model = new RatesAndSnapshotsModel(random, { ...SETTINGS, subscribesAgain: true, ...settings });
      model.run(OPERATIONS);
      expect(model.tally.remembered).toBeGreaterThan(20);
    })(),
  );
});
