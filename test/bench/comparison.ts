import type { Contender } from './contenders.js';
import { type Crowd, Pair, type Round } from './pair.js';
import { atMost, type Bar, type Row } from './report.js';
import type { Settings } from './settings.js';
import { median, medianRatio } from './statistics.js';

/** One contender, its clients, and what is done with it in each round. */
export interface Entry {
  readonly contender: Contender;
  readonly crowd: Crowd;
  measure(pair: Pair, durationMs: number): Promise<Round>;
}

/** Contenders measured in one run, one after the other in every round, so that the machine's moods meet them all. */
export class Comparison {
  private readonly rounds = new Map<Contender, Round[]>();
  readonly notes: string[] = [];

  static async run(entries: readonly Entry[], settings: Settings): Promise<Comparison> {
    const comparison = new Comparison();
    const pairs: { entry: Entry; pair: Pair }[] = [];
    for (const entry of entries) {
      const pair = await Pair.start(entry.contender, entry.crowd);
      if (typeof pair === 'string') {
        comparison.notes.push(`${entry.contender.name} skipped: ${pair}`);
        continue;
      }
      pairs.push({ entry, pair });
      comparison.rounds.set(entry.contender, []);
      // Code that has not run yet costs double.
      await entry.measure(pair, settings.roundMs);
      await pair.profile(settings);
    }
    for (let round = 0; round < settings.rounds; round++) {
      for (const { entry, pair } of pairs) {
        comparison.rounds.get(entry.contender)?.push(await entry.measure(pair, settings.roundMs));
      }
    }
    await Promise.all(pairs.map(({ pair }) => pair.end()));
    return comparison;
  }

  /** The table: medians over the rounds. */
  rows(): Row[] {
    return [...this.rounds].map(([{ name }, rounds]) => {
      const of = (value: (round: Round) => number) => median(rounds.map(value));
      return {
        contender: name,
        values: {
          'CPU µs/datum': of((round) => round.cpuMicrosPerDatum),
          'data/s': of((round) => round.deliveredPerSecond),
          'age p50 ms': ageOrNothing(of((round) => round.ages.p50Ms)),
          'age p99 ms': ageOrNothing(of((round) => round.ages.p99Ms)),
          'bytes/datum': of((round) => round.bytesPerDatum),
          'RSS MB': of((round) => round.rssMegabytes),
          'load client': `${Math.round(of((round) => round.loadShare) * 100)} %`,
        },
      };
    });
  }

  /** Median over the rounds of one contender's value through another's. */
  ratio(of: Contender, to: Contender, value: (round: Round) => number = cpu): number | undefined {
    const [numerators, denominators] = [this.rounds.get(of), this.rounds.get(to)];
    if (numerators === undefined || denominators === undefined) return undefined;
    return medianRatio(numerators.map(value), denominators.map(value));
  }

  ratioBar(what: string, of: Contender, to: Contender, limit: number, value?: (round: Round) => number): Bar {
    return atMost(what, this.ratio(of, to, value), limit, ' ×');
  }

  median(of: Contender, value: (round: Round) => number): number | undefined {
    const rounds = this.rounds.get(of);
    return rounds === undefined ? undefined : median(rounds.map(value));
  }
}

function cpu({ cpuMicrosPerDatum }: Round): number {
  return cpuMicrosPerDatum;
}

function ageOrNothing(ms: number): number | undefined {
  return Number.isNaN(ms) ? undefined : ms;
}
