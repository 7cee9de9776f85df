// Compiles the gateway and the benchmark with the compiler and the options of the build, and runs the result in plain
// Node: what is measured is what is shipped. The output lies under node_modules, where imports of packages resolve, and
// in a folder of its own for each run, so that an edit or another run cannot change what is being measured.
import { spawn, spawnSync } from 'node:child_process';
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const benchDirectory = dirname(fileURLToPath(import.meta.url));
const compiled = join(benchDirectory, '..', '..', 'node_modules', '.cache', `push-gateway-bench-${process.pid}`);
const compiler = createRequire(import.meta.url).resolve('typescript/bin/tsc');

mkdirSync(compiled, { recursive: true });
process.on('exit', () => rmSync(compiled, { recursive: true, force: true }));
// A package.json of its own: without one, what lies below node_modules counts as CommonJS.
writeFileSync(join(compiled, 'package.json'), '{ "type": "module" }\n');
const compilation = spawnSync(process.execPath, [compiler, '-p', benchDirectory, '--outDir', compiled], {
  stdio: 'inherit',
});
if (compilation.status !== 0) process.exit(1);

const main = join(compiled, 'test', 'bench', 'main.js');
const benchmark = spawn(process.execPath, ['--expose-gc', main, ...process.argv.slice(2)], { stdio: 'inherit' });
// The benchmark ends its own processes and then itself; this one waits for it, to clear up behind it.
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, () => benchmark.kill(signal));
benchmark.on('exit', (code) => process.exit(code ?? 1));
