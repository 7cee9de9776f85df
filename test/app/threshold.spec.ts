import { describe, expect, test } from '@jest/globals';
import { HostConditions } from '../../src/app/demo/host.conditions.js';
import { Threshold } from '../../src/app/demo/threshold.js';

const RULE = { raiseAbove: 85, clearBelow: 70, samples: 3 };

function changesOf(values: readonly number[]): (string | undefined)[] {
  const threshold = new Threshold(RULE);
  return values.map((value) => threshold.next(value));
}

describe('Threshold', () => {
  test('raises on the third sample in a row above the limit, and once', () => {
    expect(changesOf([90, 90, 90, 90])).toEqual([undefined, undefined, 'raised', undefined]);
  });

  test('counts anew after a sample that is not above', () => {
    expect(changesOf([90, 90, 85, 90, 90])).toEqual(Array(5).fill(undefined));
  });

  test('stays active between the two limits and clears below the lower one', () => {
    const changes = changesOf([90, 90, 90, 75, 75, 75, 69, 70, 69, 69, 69]);
    expect(changes.map((change, sample) => [sample, change]).filter(([, change]) => change !== undefined)).toEqual([
      [2, 'raised'],
      [10, 'cleared'],
    ]);
  });

  test('raises again after it cleared', () => {
    const threshold = new Threshold({ ...RULE, samples: 1 });
    expect([90, 60, 90].map((value) => threshold.next(value))).toEqual(['raised', 'cleared', 'raised']);
    expect(threshold.isActive).toBe(true);
  });

  test('ignores what is no number', () => {
    expect(changesOf([Number.NaN, Number.NaN, Number.NaN])).toEqual(Array(3).fill(undefined));
  });
});

describe('HostConditions', () => {
  test('watches only the series of its rules, and waits where one has no reading', () => {
    const rule = { series: 'cpu.total', title: 'CPU load', severity: 700, raiseAbove: 85, clearBelow: 70, samples: 2 };
    const conditions = new HostConditions([rule]);
    const hot = { series: 'cpu.total', value: 99, unit: '%' } as const;
    expect(conditions.next([hot])).toEqual([]);
    expect(conditions.next([{ series: 'cpu.0', value: 99, unit: '%' }])).toEqual([]);
    expect(conditions.next([hot])).toEqual([{ rule, reading: hot, active: true }]);
  });
});
