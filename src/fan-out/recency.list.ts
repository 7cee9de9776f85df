/** What a {@link RecencyList} links; in one list at a time. */
export interface Linked<T> {
  older: T | undefined;
  newer: T | undefined;
}

/**
 * From the one that was used longest ago to the one that was used last. Linked: a Map whose keys are deleted and set again
 * is laid out anew time and again, and each datum that is pushed moves its series.
 */
export class RecencyList<T extends Linked<T>> {
  private oldest: T | undefined;
  private newest: T | undefined;

  /** Puts it last, whether or not it is in the list. */
  makeNewest(entry: T): void {
    if (entry === this.newest) return;
    this.unlink(entry);
    entry.older = this.newest;
    if (this.newest === undefined) this.oldest = entry;
    else this.newest.newer = entry;
    this.newest = entry;
  }

  removeOldest(): T | undefined {
    const { oldest } = this;
    if (oldest !== undefined) this.unlink(oldest);
    return oldest;
  }

  private unlink(entry: T): void {
    const { older, newer } = entry;
    if (older !== undefined) older.newer = newer;
    else if (this.oldest === entry) this.oldest = newer;
    if (newer !== undefined) newer.older = older;
    else if (this.newest === entry) this.newest = older;
    entry.older = undefined;
    entry.newer = undefined;
  }
}
