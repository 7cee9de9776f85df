import type { Frame } from './frame.js';

export interface Waiting {
  frame: Frame;
  readonly sinceMs: number;
}

/** Frames in line, in which a newer value of a series can take the place of the one that waits. */
export class ConflatedLine {
  private readonly line = new Map<number, Waiting>();
  /** Where a series waits that may still be replaced. */
  private readonly placeOfSeries = new Map<string, number>();
  private nextPlace = 0;

  get length(): number {
    return this.line.size;
  }

  get oldest(): Waiting | undefined {
    return this.line.values().next().value;
  }

  frames(): Frame[] {
    return [...this.line.values()].map(({ frame }) => frame);
  }

  /** Puts a frame at the end, where it is not replaced. */
  append(frame: Frame, sinceMs: number): void {
    this.line.set(this.nextPlace++, { frame, sinceMs });
  }

  /** Puts a frame in the place of the older value of its series, else at the end. Returns what is out of date by it. */
  conflate(frame: Frame, sinceMs: number): Frame | undefined {
    const { conflationKey, supersedes, separates } = frame;
    const superseded = supersedes === undefined ? undefined : this.remove(supersedes);
    if (separates !== undefined) this.keepInPlace(separates);
    const place = conflationKey === undefined ? undefined : this.placeOfSeries.get(conflationKey);
    const waiting = place === undefined ? undefined : this.line.get(place);
    if (waiting !== undefined) {
      const replaced = waiting.frame;
      waiting.frame = frame;
      return replaced;
    }
    if (conflationKey !== undefined) this.placeOfSeries.set(conflationKey, this.nextPlace);
    this.append(frame, sinceMs);
    return superseded;
  }

  /** Removes the oldest. */
  shift(): void {
    const [oldest] = this.line;
    if (oldest === undefined) return;
    const [place, { frame }] = oldest;
    this.line.delete(place);
    if (frame.conflationKey !== undefined && this.placeOfSeries.get(frame.conflationKey) === place) {
      this.placeOfSeries.delete(frame.conflationKey);
    }
  }

  /** Empties the line and returns what was in it. */
  clear(): Waiting[] {
    const all = [...this.line.values()];
    this.line.clear();
    this.placeOfSeries.clear();
    return all;
  }

  private remove(conflationKey: string): Frame | undefined {
    const place = this.placeOfSeries.get(conflationKey);
    if (place === undefined) return undefined;
    const removed = this.line.get(place)?.frame;
    this.line.delete(place);
    this.placeOfSeries.delete(conflationKey);
    return removed;
  }

  private keepInPlace(isSeparated: (conflationKey: string) => boolean): void {
    for (const conflationKey of this.placeOfSeries.keys()) {
      if (isSeparated(conflationKey)) this.placeOfSeries.delete(conflationKey);
    }
  }
}
