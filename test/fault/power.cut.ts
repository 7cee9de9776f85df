import { closeSync, copyFileSync, existsSync, mkdirSync, openSync, readFileSync, rmSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import type { Random } from '../support/random.js';

const PAGE_BYTES = 4096;

/** What of the writes that were not synced is on the disk after the cut. The disk is free in this. */
export type Survival = 'nothing' | 'some pages' | 'everything';

/** A folder with an alarm log, and the durable state of its file aside, which is what is left after a power cut. */
export class PoweredFolder {
  readonly log: string;
  readonly file: string;
  readonly durableFile: string;

  constructor(folder: string) {
    this.log = join(folder, 'log');
    this.file = join(this.log, 'data.mdb');
    this.durableFile = join(folder, 'durable.mdb');
    mkdirSync(this.log, { recursive: true });
  }

  /** Everything that is written now is durable: whoever wrote has closed the log. */
  settle(): void {
    copyFileSync(this.file, this.durableFile);
  }

  /** Leaves the log as the disk has it after the cut, with as little or as much of the rest as the disk likes. */
  cut(survival: Survival, random: Random): void {
    const written = existsSync(this.file) ? readFileSync(this.file) : Buffer.alloc(0);
    rmSync(this.log, { recursive: true });
    mkdirSync(this.log);
    if (survival !== 'nothing') this.keepPages(written, () => survival === 'everything' || random.chance(0.5));
    if (existsSync(this.durableFile)) copyFileSync(this.durableFile, this.file);
  }

  /** Lets pages that were written and not synced be durable nevertheless. */
  private keepPages(written: Buffer, isKept: () => boolean): void {
    const durable = existsSync(this.durableFile) ? readFileSync(this.durableFile) : Buffer.alloc(0);
    const descriptor = openSync(this.durableFile, existsSync(this.durableFile) ? 'r+' : 'w');
    try {
      for (let at = 0; at < written.length; at += PAGE_BYTES) {
        const page = written.subarray(at, at + PAGE_BYTES);
        if (!page.equals(durable.subarray(at, at + PAGE_BYTES)) && isKept())
          writeSync(descriptor, page, 0, page.length, at);
      }
    } finally {
      closeSync(descriptor);
    }
  }
}
