import { percentile } from '../statistics.js';
import type { AgeQuery, Ages } from './load.api.js';

/** When data were due and how old they were when they arrived. */
export class AgeRecord {
  private dueMicros: number[] = [];
  private ageMicros: number[] = [];

  add(dueMicros: number, nowMicros: number): void {
    this.dueMicros.push(dueMicros);
    this.ageMicros.push(nowMicros - dueMicros);
  }

  clear(): void {
    this.dueMicros = [];
    this.ageMicros = [];
  }

  summarize({ fromMicros, toMicros, sliceMs }: AgeQuery): Ages {
    const slices = new Map<number, number[]>();
    this.dueMicros.forEach((due, index) => {
      if (due < fromMicros || due >= toMicros) return;
      // A slice is a stretch of time at the client: what arrived then was so old.
      const age = this.ageMicros[index] ?? NaN;
      const slice = Math.floor((due + age - fromMicros) / (sliceMs * 1000));
      const ages = slices.get(slice);
      if (ages === undefined) slices.set(slice, [age]);
      else ages.push(age);
    });
    const all = sorted([...slices.values()].flat());
    const worst = Math.max(...[...slices.values()].map((ages) => percentile(sorted(ages), 0.99)));
    return {
      count: all.length,
      p50Ms: percentile(all, 0.5) / 1000,
      p99Ms: percentile(all, 0.99) / 1000,
      worstSliceP99Ms: slices.size === 0 ? NaN : worst / 1000,
    };
  }
}

function sorted(values: readonly number[]): Float64Array {
  return Float64Array.from(values).toSorted();
}
