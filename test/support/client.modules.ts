import { readFile } from 'node:fs/promises';
import { posix } from 'node:path';
import { transform } from '@swc/core';

const SRC = new URL('../../src/', import.meta.url);
const ENTRY = 'sdk/index.js';

let compiled: Promise<ReadonlyMap<string, string>> | undefined;

/** The modules of the client library that a page loads, by their path beneath `dist`, as a build would make them. */
export function clientModules(): Promise<ReadonlyMap<string, string>> {
  return (compiled ??= compileFrom(ENTRY, new Map()));
}

/** With all that it imports. */
async function compileFrom(path: string, modules: Map<string, string>): Promise<Map<string, string>> {
  const filename = path.replace(/\.js$/, '.ts');
  const { code } = await transform(await readFile(new URL(filename, SRC), 'utf8'), {
    filename,
    swcrc: false,
    jsc: {
      target: 'es2022',
      parser: { syntax: 'typescript' },
      transform: { useDefineForClassFields: false },
    },
    module: { type: 'es6' },
  });
  modules.set(path, code);
  for (const [, specifier = ''] of code.matchAll(/\bfrom '([^']+)'/g)) {
    const imported = posix.join(posix.dirname(path), specifier);
    if (!modules.has(imported)) await compileFrom(imported, modules);
  }
  return modules;
}
