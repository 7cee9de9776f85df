/** When a value counts as alarming, and when no longer. */
export interface ThresholdRule {
  /** Raises above this, */
  readonly raiseAbove: number;
  /** and clears below this; lower than `raiseAbove`, so that a value at the limit does not flap. */
  readonly clearBelow: number;
  /** Samples in a row that it takes to raise or to clear. */
  readonly samples: number;
}

/** Follows one value and tells when its condition begins and ends. */
export class Threshold {
  private samplesBeyond = 0;

  constructor(
    private readonly rule: ThresholdRule,
    private active = false,
  ) {}

  get isActive(): boolean {
    return this.active;
  }

  /** Takes the next sample; `raised` or `cleared` on the sample that changes the state. */
  next(value: number): 'raised' | 'cleared' | undefined {
    const isBeyond = this.active ? value < this.rule.clearBelow : value > this.rule.raiseAbove;
    this.samplesBeyond = isBeyond ? this.samplesBeyond + 1 : 0;
    if (this.samplesBeyond < this.rule.samples) return undefined;
    this.active = !this.active;
    this.samplesBeyond = 0;
    return this.active ? 'raised' : 'cleared';
  }
}
