import { afterEach, beforeEach, describe, expect, jest, test } from '@jest/globals';
import { seeded } from '../support/random.js';
import { type ModelSettings, type ModelTally, RawDataModel } from './raw-data.model.js';

const OPERATIONS = 10_000;
const SETTINGS: ModelSettings = {
  delivery: 'conflate',
  maxClients: 24,
  inFlightBytes: 4096,
  maxOutboxBytes: 64 * 1024,
  isBudgetAmple: true,
};

let clock: { nowMs: number };

beforeEach(() => {
  clock = { nowMs: 0 };
  jest.spyOn(performance, 'now').mockImplementation(() => clock.nowMs);
});

afterEach(() => {
  jest.restoreAllMocks();
});

describe('router, clients, outboxes and flush queue do what a naive model of them does', () => {
  const runs: [string, Partial<ModelSettings>, (tally: ModelTally) => void][] = [
    ['conflate', {}, ({ conflated, closed }) => expect([conflated > 200, closed]).toEqual([true, 0])],
    [
      'conflate with a tight budget',
      { maxOutboxBytes: 6 * 1024, isBudgetAmple: false, inFlightBytes: 2048 },
      ({ conflated, closed }) => expect([conflated > 20, closed > 3]).toEqual([true, true]),
    ],
    ['merge', { delivery: 'merge' }, ({ closed }) => expect(closed).toBe(0)],
    [
      'disconnect',
      { delivery: 'disconnect' },
      ({ conflated, closed }) => expect([conflated, closed > 5]).toEqual([0, true]),
    ],
  ];

  test.each(runs)('%s', (_, settings, checkTally) =>
    seeded((random) => {
      const model = new RawDataModel(random, { ...SETTINGS, ...settings });
      clock = model;
      model.run(OPERATIONS);
      expect(model.tally.pushes).toBeGreaterThan(OPERATIONS / 2);
      expect(model.tally.delivered).toBeGreaterThan(OPERATIONS);
      expect(model.tally.stalls).toBeGreaterThan(100);
      checkTally(model.tally);
    })(),
  );
});
