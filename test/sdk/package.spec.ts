import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { gzipSync } from 'node:zlib';
import { beforeAll, describe, expect, test } from '@jest/globals';
import { minify } from '@swc/core';
import ts from 'typescript';
import { clientModules } from '../support/client.modules.js';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const MAX_GZIPPED_BYTES = 8 * 1024;
/** Gone when they are compiled. */
const TYPES_ONLY = new Set(['events.js', 'options.js']);

describe('what a page loads', () => {
  let modules: ReadonlyMap<string, string>;

  let minified: string[];

  beforeAll(async () => {
    modules = await clientModules();
    const outputs = [...modules.values()].map((code) =>
      minify(code, { module: true, compress: { passes: 3 }, mangle: true }),
    );
    minified = (await Promise.all(outputs)).map(({ code }) => code);
  });

  test('is the library, and of the protocol what is of use to clients', () => {
    const names = readdirSync(join(ROOT, 'src/sdk')).map((name) => name.replace(/\.ts$/, '.js'));
    const ofLibrary = names.filter((name) => !TYPES_ONLY.has(name)).map((name) => `sdk/${name}`);
    const ofProtocol = ['close-codes', 'cursor', 'messages'].map((name) => `protocol/${name}.js`);
    expect([...modules.keys()].toSorted()).toEqual([...ofProtocol, ...ofLibrary].toSorted());
  });

  test('uses nothing of Node', () => {
    expect(minified.filter((code) => /\b(process|Buffer|require|__dirname)\b|node:/.test(code))).toEqual([]);
  });

  /** Each module minified by itself, and then all together compressed by gzip: a bundle is smaller. */
  test('is at most 8 KiB', () => {
    const bytes = gzipSync(minified.join('\n'), { level: 9 }).length;
    process.stdout.write(`the client library: ${modules.size} modules, ${bytes} bytes minified and gzipped\n`);
    expect(bytes).toBeLessThanOrEqual(MAX_GZIPPED_BYTES);
  });
});

const BROWSER_PROGRAM = `
  import { connectAlarms } from './index.js';
  connectAlarms({ WebSocket, storage: { get: (key) => localStorage.getItem(key), set: (key, place) => localStorage.setItem(key, place) } });
`;

/** What the compiler says of a program in this folder, with these libraries and without the types of Node. */
function complaintsOf(text: string, lib: readonly string[]): string[] {
  const file = join(ROOT, 'src/sdk/program.ts');
  const options: ts.CompilerOptions = {
    target: ts.ScriptTarget.ES2022,
    module: ts.ModuleKind.NodeNext,
    moduleResolution: ts.ModuleResolutionKind.NodeNext,
    lib: lib.map((name) => `lib.${name}.d.ts`),
    types: [],
    strict: true,
    skipLibCheck: true,
    noEmit: true,
  };
  const host = ts.createCompilerHost(options);
  const { getSourceFile, fileExists } = host;
  host.fileExists = (path) => path === file || fileExists(path);
  host.getSourceFile = (path, target, ...more) =>
    path === file ? ts.createSourceFile(path, text, target) : getSourceFile(path, target, ...more);
  return ts
    .getPreEmitDiagnostics(ts.createProgram([file], options, host))
    .map(({ messageText, file: where }) => `${where?.fileName}: ${ts.flattenDiagnosticMessageText(messageText, ' ')}`);
}

describe('its types', () => {
  test.each([
    ['in a browser, and take its WebSocket', BROWSER_PROGRAM, ['es2022', 'dom']],
    ['where there is neither a browser nor Node', `import './index.js';`, ['es2022']],
  ])('compile %s', (_, text, lib) => {
    expect(complaintsOf(text, lib)).toEqual([]);
  });
});
