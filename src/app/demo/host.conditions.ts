import type { Reading } from './host.sampler.js';
import { Threshold, type ThresholdRule } from './threshold.js';

export interface ConditionRule extends ThresholdRule {
  readonly series: string;
  /** What the alarm speaks of: `CPU load`. */
  readonly title: string;
  /** 1 to 1000 (OPC UA Part 9, 5.5.2). */
  readonly severity: number;
}

/** A condition of this machine that has just begun or ended. */
export interface ConditionChange {
  readonly rule: ConditionRule;
  readonly reading: Reading;
  readonly active: boolean;
}

/** What an operator of this machine would want to learn of. */
export function hostConditionRules(cores: number): ConditionRule[] {
  return [
    { series: 'cpu.total', title: 'CPU load', severity: 700, raiseAbove: 85, clearBelow: 70, samples: 3 },
    { series: 'memory.usedPercent', title: 'Memory in use', severity: 900, raiseAbove: 90, clearBelow: 85, samples: 3 },
    { series: 'load.1m', title: 'Load', severity: 500, raiseAbove: 2 * cores, clearBelow: 1.5 * cores, samples: 3 },
  ];
}

/** Watches the readings of this machine for the rules' conditions. */
export class HostConditions {
  private readonly watched: readonly { rule: ConditionRule; threshold: Threshold }[];

  /** `active`: series whose condition was raised before this process began. */
  constructor(rules: readonly ConditionRule[], active: ReadonlySet<string> = new Set()) {
    this.watched = rules.map((rule) => ({ rule, threshold: new Threshold(rule, active.has(rule.series)) }));
  }

  next(readings: readonly Reading[]): ConditionChange[] {
    const changes: ConditionChange[] = [];
    for (const { rule, threshold } of this.watched) {
      const reading = readings.find(({ series }) => series === rule.series);
      if (reading === undefined) continue;
      const change = threshold.next(reading.value);
      if (change !== undefined) changes.push({ rule, reading, active: change === 'raised' });
    }
    return changes;
  }
}
