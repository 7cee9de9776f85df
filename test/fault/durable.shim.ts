import { execFile } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

const run = promisify(execFile);
const source = join(dirname(fileURLToPath(import.meta.url)), 'durable.shim.c');

/** The library that keeps what is durable aside, compiled; see durable.shim.c. */
export class DurableShim {
  private constructor(private readonly folder: string) {}

  /** undefined, with the reason, where there is no compiler. */
  static async compile(): Promise<DurableShim | { readonly why: string }> {
    if (process.platform !== 'linux') return { why: 'it is made for Linux' };
    const folder = mkdtempSync(join(tmpdir(), 'push-gateway-shim-'));
    const shim = new DurableShim(folder);
    try {
      await run('cc', ['-Wall', '-Wextra', '-Werror', '-O2', '-shared', '-fPIC', '-o', shim.library, source, '-ldl']);
      return shim;
    } catch (cause) {
      shim.remove();
      const isMissing = cause instanceof Error && 'code' in cause && cause.code === 'ENOENT';
      if (!isMissing) throw cause;
      return { why: 'there is no C compiler' };
    }
  }

  /** Of a process whose writes to the file are followed. */
  environment(file: string, copy: string, delayUs: number): Record<string, string> {
    return {
      LD_PRELOAD: this.library,
      DURABLE_FILE: file,
      DURABLE_COPY: copy,
      DURABLE_DELAY_US: String(delayUs),
    };
  }

  remove(): void {
    rmSync(this.folder, { recursive: true, force: true });
  }

  private get library(): string {
    return join(this.folder, 'durable.shim.so');
  }
}
