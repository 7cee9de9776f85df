import { execFile } from 'node:child_process';
import { closeSync, mkdtempSync, openSync, rmSync, rmdirSync, statfsSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { codeOf } from '../../src/push.causes.js';

const run = promisify(execFile);
const CHUNK = Buffer.alloc(4096);

/** A disk of its own in memory, which can be filled up and freed. Needs root. */
export class SmallDisk {
  private constructor(readonly path: string) {}

  /** undefined, with the reason, where this machine lets nobody mount. */
  static async mount(bytes: number): Promise<SmallDisk | { readonly why: string }> {
    const path = mkdtempSync(join(tmpdir(), 'push-gateway-disk-'));
    try {
      await run('mount', ['-t', 'tmpfs', '-o', `size=${bytes}`, 'tmpfs', path]);
      return new SmallDisk(path);
    } catch (cause) {
      rmdirSync(path);
      return { why: cause instanceof Error ? cause.message : String(cause) };
    }
  }

  /** Leaves no free block. */
  fill(): void {
    const descriptor = openSync(this.ballast, 'a');
    try {
      for (;;) writeSync(descriptor, CHUNK);
    } catch (cause) {
      if (codeOf(cause) !== 'ENOSPC') throw cause;
    } finally {
      closeSync(descriptor);
    }
  }

  free(): void {
    rmSync(this.ballast, { force: true });
  }

  get freeBytes(): number {
    const { bavail, bsize } = statfsSync(this.path);
    return bavail * bsize;
  }

  async unmount(): Promise<void> {
    await run('umount', ['-l', this.path]);
    rmdirSync(this.path);
  }

  private get ballast(): string {
    return join(this.path, 'ballast');
  }
}
