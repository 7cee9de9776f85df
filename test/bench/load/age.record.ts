import { percentile } from '../statistics.js';
import type { AgeQuery, Ages } from './load.api.js';

/** When data arrived and how old they were. */
export class AgeRecord {
  private arrivedMicros: number[] = [];
  private ageMicros: number[] = [];

  add(dueMicros: number, nowMicros: number): void {
    this.arrivedMicros.push(nowMicros);
    this.ageMicros.push(nowMicros - dueMicros);
  }

  clear(): void {
    this.arrivedMicros = [];
    this.ageMicros = [];
  }

  summarize({ fromMicros, toMicros, sliceMs }: AgeQuery): Ages {
    const slices = new Map<number, number[]>();
    this.arrivedMicros.forEach((arrived, index) => {
      if (arrived < fromMicros || arrived >= toMicros) return;
      const age = this.ageMicros[index] ?? NaN;
      const slice = Math.floor((arrived - fromMicros) / (sliceMs * 1000));
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
