/** A seeded source of random numbers (mulberry32), so that a failing run can be repeated with `TEST_SEED`. */
export class Random {
  private state: number;

  constructor(readonly seed: number) {
    this.state = seed >>> 0;
  }

  /** From 0 inclusive to 1 exclusive. */
  next(): number {
    this.state = (this.state + 0x6d2b79f5) >>> 0;
    let mixed = this.state;
    mixed = Math.imul(mixed ^ (mixed >>> 15), mixed | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 0x1_0000_0000;
  }

  /** A whole number from 0 inclusive to `limit` exclusive. */
  below(limit: number): number {
    return Math.floor(this.next() * limit);
  }

  chance(probability: number): boolean {
    return this.next() < probability;
  }

  pick<T>(choices: readonly T[]): T {
    const index = this.below(choices.length);
    if (choices.length === 0) throw new RangeError('nothing to pick from');
    return choices[index] as T;
  }

  /** Picks a name with the probability of its weight. */
  weighted<K extends string>(weights: Readonly<Record<K, number>>): K {
    const entries = Object.entries<number>(weights) as [K, number][];
    let left = this.next() * entries.reduce((sum, [, weight]) => sum + weight, 0);
    for (const [name, weight] of entries) {
      left -= weight;
      if (left < 0) return name;
    }
    throw new RangeError('there is no weight to pick by');
  }
}

/** `TEST_SEED`, or another seed in every run. */
export function testSeed(): number {
  const given = process.env['TEST_SEED'];
  return given === undefined ? Math.floor(Math.random() * 0x1_0000_0000) : Number(given);
}

/** The body of a random test: its seed is printed at the start, and stands in the error when it fails. */
export function seeded(body: (random: Random) => void | Promise<void>, seed = testSeed()): () => Promise<void> {
  return async () => {
    process.stdout.write(`TEST_SEED=${seed}\n`);
    try {
      await body(new Random(seed));
    } catch (cause) {
      const reason = cause instanceof Error ? cause.message : String(cause);
      throw new Error(`failed with TEST_SEED=${seed}: ${reason}`, { cause });
    }
  };
}
