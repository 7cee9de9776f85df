import { closeSync, fdatasyncSync, mkdtempSync, openSync, rmSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { percentile } from '../statistics.js';

export interface SyncTimes {
  readonly p50Ms: number;
  readonly p99Ms: number;
}

const SYNCS = 500;
const PAGE = Buffer.alloc(4096, 1);

/** Writes a page and waits until it is on the disk, again and again. */
export function measureSync(folder: string): SyncTimes {
  const place = mkdtempSync(join(folder, 'sync-'));
  const descriptor = openSync(join(place, 'page'), 'w');
  try {
    const times = Array.from({ length: SYNCS }, () => {
      const begunMs = performance.now();
      writeSync(descriptor, PAGE, 0, PAGE.length, 0);
      fdatasyncSync(descriptor);
      return performance.now() - begunMs;
    });
    const sorted = Float64Array.from(times).toSorted();
    return { p50Ms: percentile(sorted, 0.5), p99Ms: percentile(sorted, 0.99) };
  } finally {
    closeSync(descriptor);
    rmSync(place, { recursive: true });
  }
}
