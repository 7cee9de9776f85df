import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { within } from '../support/deadline.js';

const COMPILE_DEADLINE_MS = 120_000;
const directory = dirname(fileURLToPath(import.meta.url));

/**
 * The programs of the fault tests and the gateway, compiled with the compiler and the options of the build, so that what
 * is killed starts as fast as what is shipped. Under node_modules, where imports of packages resolve.
 */
export class Programs {
  private constructor(private readonly folder: string) {}

  static async compile(): Promise<Programs> {
    const folder = join(directory, '..', '..', 'node_modules', '.cache', `push-gateway-fault-${process.pid}`);
    const programs = new Programs(folder);
    process.on('exit', programs.remove);
    mkdirSync(folder, { recursive: true });
    // Without one of its own, what lies below node_modules counts as CommonJS.
    writeFileSync(join(folder, 'package.json'), '{ "type": "module" }\n');
    const compiler = createRequire(import.meta.url).resolve('typescript/bin/tsc');
    const compilation = spawn(process.execPath, [compiler, '-p', directory, '--outDir', folder]);
    let output = '';
    compilation.stdout.on('data', (chunk: Buffer) => (output += chunk.toString()));
    const [code] = (await within(once(compilation, 'exit'), 'the programs are compiled', COMPILE_DEADLINE_MS)) as [
      number | null,
    ];
    if (code !== 0) throw new Error(`the programs cannot be compiled: ${output}`);
    return programs;
  }

  file(name: string): string {
    return join(this.folder, 'test', 'fault', 'programs', `${name}.program.js`);
  }

  readonly remove = (): void => {
    process.off('exit', this.remove);
    rmSync(this.folder, { recursive: true, force: true });
  };
}
