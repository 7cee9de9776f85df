import { readdirSync } from 'node:fs';
import { isBuiltin } from 'node:module';
import { join } from 'node:path';
import { expect, test } from '@jest/globals';
import ts from 'typescript';
import { run } from './command.js';
import { type EntryTargets, type PackedLibrary, PROJECT } from './packed.library.js';

/** What is read, beside the library. */
const DOCUMENTS = ['CHANGELOG.md', 'LICENSE', 'README.md', 'README.zh-CN.md', 'SECURITY.md', 'package.json'];
/** They read a program of their own first. */
const TOOL_DEADLINE_MS = 60_000;
/** The runnable node is no part of the library. */
const isOfTheNode = (source: string) => /^(main|app\.module)\.ts$|^app\//.test(source);

function filesIn(folder: string, ending: RegExp): string[] {
  return readdirSync(join(PROJECT, folder), { recursive: true, encoding: 'utf8' })
    .map((path) => path.replaceAll('\\', '/'))
    .filter((path) => ending.test(path));
}

/** Packages that a module or a declaration needs. */
function packagesOf(text: string, file: string): string[] {
  const { importedFiles, typeReferenceDirectives } = ts.preProcessFile(text, true, true);
  return [...importedFiles, ...typeReferenceDirectives]
    .map(({ fileName }) => fileName)
    .filter((name) => !name.startsWith('.') && !isBuiltin(name))
    .map((name) => name.split('/', name.startsWith('@') ? 2 : 1).join('/'))
    .map((name) => `${name} of ${file}`);
}

export function contentsCases(libraryOf: () => PackedLibrary): void {
  test('the tarball holds the library, its documents, and nothing else', () => {
    const compiled = filesIn('src', /\.ts$/)
      .filter((source) => !isOfTheNode(source))
      .flatMap((source) => ['.js', '.d.ts', '.js.map'].map((end) => `dist/${source.replace(/\.ts$/, end)}`));
    const documents = filesIn('docs', /\.(md|yaml|json)$/).map((name) => `docs/${name}`);
    expect(libraryOf().files).toEqual([...compiled, ...documents, ...DOCUMENTS].toSorted());
  });

  test('every entry has its types first, then its module, and is found under node10 too', () => {
    const { exports: entries, typesVersions } = libraryOf().manifest;
    const { '.': root, './package.json': manifest, ...others } = entries;
    expect([root, manifest]).toEqual([{ types: './dist/index.d.ts', default: './dist/index.js' }, './package.json']);
    const targets = Object.entries(others).map(([name, target]) => ({
      name: name.slice(2),
      ...(target as EntryTargets),
    }));
    expect(targets.map(({ name, types }) => [name, [types]])).toEqual(Object.entries(typesVersions['*']));
    for (const target of targets) {
      expect(Object.keys(target)).toEqual(['name', 'types', 'default']);
      expect(libraryOf().files).toEqual(expect.arrayContaining([target.types.slice(2), target.default.slice(2)]));
    }
  });

  test('what it imports it names, and nothing of Nest is a dependency', async () => {
    const library = libraryOf();
    const { dependencies, peerDependencies } = library.manifest;
    expect(Object.keys(dependencies).filter((name) => name.startsWith('@nestjs/'))).toEqual([]);
    const named = new Set(Object.keys({ ...dependencies, ...peerDependencies }));
    const files = library.files.filter((file) => /\.(js|d\.ts)$/.test(file));
    const needed = await Promise.all(files.map(async (file) => packagesOf(await library.textOf(file), file)));
    expect(needed.flat().filter((need) => !named.has(need.split(' ', 1)[0] ?? ''))).toEqual([]);
    const unused = [...named].filter((name) => !needed.flat().some((need) => need.startsWith(`${name} `)));
    // Declarations are found by the name of what they declare; reflect-metadata is what Nest itself needs.
    expect(unused).toEqual(['@types/ws', 'reflect-metadata']);
  });

  test(
    'publint has nothing to say',
    async () => {
      const { tarball } = libraryOf();
      const said = await run(join(PROJECT, 'node_modules/.bin/publint'), ['run', tarball, '--strict'], { in: PROJECT });
      expect(said).toContain('All good!');
    },
    TOOL_DEADLINE_MS,
  );

  test(
    'the types are right under every resolution',
    async () => {
      // That CommonJS gets an ES module is meant so: Node 20.19 and newer require those.
      const flags = ['--ignore-rules', 'cjs-resolves-to-esm', '--format', 'ascii', '--no-color', '--no-emoji'];
      const said = await run(join(PROJECT, 'node_modules/.bin/attw'), [libraryOf().tarball, ...flags], { in: PROJECT });
      expect(said).toContain('No problems found');
    },
    TOOL_DEADLINE_MS,
  );
}
