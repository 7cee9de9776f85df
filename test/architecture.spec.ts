import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, relative, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from '@jest/globals';
import ts from 'typescript';

const SRC = resolve(dirname(fileURLToPath(import.meta.url)), '../src');

interface Import {
  readonly from: string;
  /** Path within src, or a package's name. */
  readonly to: string;
  readonly isOurs: boolean;
  /** Gone at run time. */
  readonly isTypeOnly: boolean;
}

function filesIn(folder: string): string[] {
  return readdirSync(folder, { withFileTypes: true }).flatMap((entry) => {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) return filesIn(path);
    return entry.name.endsWith('.ts') ? [relative(SRC, path)] : [];
  });
}

function importsOf(file: string): Import[] {
  const source = ts.createSourceFile(file, readFileSync(join(SRC, file), 'utf8'), ts.ScriptTarget.ES2023);
  const imports: Import[] = [];
  const add = (specifier: ts.Node | undefined, isTypeOnly: boolean) => {
    if (specifier === undefined || !ts.isStringLiteralLike(specifier)) return;
    const isOurs = specifier.text.startsWith('.');
    const target = isOurs ? join(dirname(file), specifier.text).replace(/\.js$/, '.ts') : specifier.text;
    imports.push({ from: file, to: target, isOurs, isTypeOnly });
  };
  const visit = (node: ts.Node): void => {
    if (ts.isImportDeclaration(node)) add(node.moduleSpecifier, isTypeOnlyImport(node.importClause));
    else if (ts.isExportDeclaration(node))
      add(node.moduleSpecifier, node.isTypeOnly || areTypesOnly(node.exportClause));
    else if (ts.isImportTypeNode(node) && ts.isLiteralTypeNode(node.argument)) add(node.argument.literal, true);
    else if (ts.isCallExpression(node) && node.expression.kind === ts.SyntaxKind.ImportKeyword)
      add(node.arguments[0], false);
    ts.forEachChild(node, visit);
  };
  visit(source);
  return imports;
}

function isTypeOnlyImport(clause: ts.ImportClause | undefined): boolean {
  if (clause === undefined) return false;
  if (clause.phaseModifier === ts.SyntaxKind.TypeKeyword) return true;
  return clause.name === undefined && areTypesOnly(clause.namedBindings);
}

function areTypesOnly(bindings: ts.NamedImportBindings | ts.NamedExportBindings | undefined): boolean {
  if (bindings === undefined || !(ts.isNamedImports(bindings) || ts.isNamedExports(bindings))) return false;
  return bindings.elements.length > 0 && bindings.elements.every(({ isTypeOnly }) => isTypeOnly);
}

const files = filesIn(SRC);
const imports = files.flatMap(importsOf);
const ours = imports.filter(({ isOurs }) => isOurs);

/** `fan-out`, or the file's own name at the top of src. */
function layerOf(file: string): string {
  return file.includes('/') ? (file.split('/', 1)[0] ?? '') : file;
}

function show({ from, to }: Import): string {
  return `${from} -> ${to}`;
}

/** Types, errors, tokens and words of one line, without anything concrete behind them. */
const ROOT_WORDS = ['push.causes.ts', 'push.errors.ts', 'push.types.ts', 'push.clock.ts', 'push.deadline.ts'];
const PORTS = ['bus', 'alarm-log'];
const TOP = [
  'index.ts',
  'terminus.ts',
  'redis.ts',
  'main.ts',
  'app.module.ts',
  'push.module.ts',
  'push.backends.ts',
  'push.observers.ts',
];
const LEAVES = ['app', 'sdk', 'testing'];
/** Leaves at the other end of the wire. */
const CLIENTS = new Set(['sdk', 'testing']);

/** DESIGN section 10: what each layer may import, besides itself. */
const ARROWS: Record<string, readonly string[]> = {
  protocol: [],
  'fan-out': ['protocol'],
  bus: ['protocol', 'fan-out', 'redis', ...ROOT_WORDS],
  'alarm-log': ['protocol', 'fan-out', 'redis', ...ROOT_WORDS],
  access: ['protocol', 'fan-out', ...ROOT_WORDS],
  observe: ['protocol', 'fan-out', ...ROOT_WORDS],
  redis: ['protocol', 'fan-out', 'access', ...PORTS, ...ROOT_WORDS],
  registry: ['fan-out', 'protocol', 'access', 'observe', ...PORTS, ...ROOT_WORDS, 'push.options.ts'],
  gateway: ['registry', 'protocol', 'access', 'fan-out', 'observe', ...ROOT_WORDS, 'push.options.ts'],
  sdk: ['protocol'],
  'push.causes.ts': [],
  'push.errors.ts': [],
  'push.clock.ts': [],
  'push.deadline.ts': [],
  'push.types.ts': ['fan-out', 'protocol'],
  'push.rules.ts': ['fan-out', 'protocol', ...ROOT_WORDS],
  'push.module-definition.ts': ['push.options.ts'],
  'push.service.ts': [
    'registry',
    'fan-out',
    'protocol',
    'observe',
    ...PORTS,
    ...ROOT_WORDS,
    'push.options.ts',
    'push.rules.ts',
  ],
};

const wordsIn = (cell: string) => cell.match(/[\w-]+/g) ?? [];

const isBackend = (file: string) =>
  /(^|\/)(memory|lmdb|redis|in-process)\.[^/]+$/.test(file) || file.startsWith('redis/');

describe('the arrows of the house', () => {
  test('the sources were found and their imports read', () => {
    expect(files.length).toBeGreaterThan(50);
    expect(ours.some(({ from, to }) => from === 'push.module.ts' && to === 'push.service.ts')).toBe(true);
    expect(ours.filter(({ to }) => !files.includes(to)).map(show)).toEqual([]);
    expect(ours.filter(({ isTypeOnly }) => isTypeOnly).length).toBeGreaterThan(20);
  });

  test.each(Object.entries(ARROWS))('%s imports only what it may know', (layer, allowed) => {
    const broken = ours.filter(
      ({ from, to }) => layerOf(from) === layer && layerOf(to) !== layer && !allowed.includes(layerOf(to)),
    );
    expect(broken.map(show)).toEqual([]);
  });

  test('every folder has its arrows', () => {
    const layers = new Set(files.filter((file) => file.includes('/')).map(layerOf));
    expect([...layers].filter((layer) => ARROWS[layer] === undefined && !LEAVES.includes(layer))).toEqual([]);
  });

  test('CONTRIBUTING.md has every folder with its arrows', () => {
    const rows = readFileSync(join(SRC, '../CONTRIBUTING.md'), 'utf8').matchAll(/^\| `([\w-]+)` +\|([^|]*)\|/gm);
    const map = Object.fromEntries([...rows].map(([, layer = '', cell = '']) => [layer, wordsIn(cell).toSorted()]));
    const folders = [...new Set(files.filter((file) => file.includes('/')).map(layerOf))];
    const arrows = folders.map((layer) => [
      layer,
      ARROWS[layer]?.filter((name) => !name.endsWith('.ts')).toSorted() ?? ['anything'],
    ]);
    expect(map).toMatchObject(Object.fromEntries(arrows) as Record<string, string[]>);
  });

  test('push.options knows no layer but by type, besides access', () => {
    const known = ours.filter(({ from, isTypeOnly }) => from === 'push.options.ts' && !isTypeOnly);
    expect([...new Set(known.map(({ to }) => layerOf(to)))].toSorted()).toEqual(['access', 'push.errors.ts']);
  });

  test('nothing imports a leaf but the top', () => {
    const broken = ours.filter(
      ({ from, to }) =>
        LEAVES.includes(layerOf(to)) && layerOf(from) !== layerOf(to) && !['main.ts', 'app.module.ts'].includes(from),
    );
    expect(broken.map(show)).toEqual([]);
  });

  test('nothing imports the top of the house but the top itself and the leaves', () => {
    const broken = ours.filter(
      ({ from, to }) => TOP.includes(to) && !TOP.includes(from) && !LEAVES.includes(layerOf(from)),
    );
    expect(broken.map(show)).toEqual([]);
  });

  test('only push.backends.ts names a concrete backend', () => {
    const backends = files.filter(isBackend);
    expect(backends).toContain('alarm-log/memory.alarm-log.ts');
    const broken = ours.filter(
      ({ from, to }) => isBackend(to) && !isBackend(from) && from !== 'push.backends.ts' && layerOf(from) !== 'testing',
    );
    expect(broken.map(show)).toEqual([]);
  });

  test('no values are imported in a circle', () => {
    const next = new Map<string, string[]>();
    for (const { from, to, isTypeOnly } of ours) if (!isTypeOnly) next.set(from, [...(next.get(from) ?? []), to]);
    const circles: string[] = [];
    const done = new Set<string>();
    const walk = (file: string, path: readonly string[]): void => {
      const start = path.indexOf(file);
      if (start >= 0) circles.push([...path.slice(start), file].join(' -> '));
      if (start >= 0 || done.has(file)) return;
      for (const to of next.get(file) ?? []) walk(to, [...path, file]);
      done.add(file);
    };
    for (const file of files) walk(file, []);
    expect(circles).toEqual([]);
  });
});

const importersOf = (isMeant: (name: string) => boolean, withTypes = false) => [
  ...new Set(
    imports
      .filter(({ to, isOurs, isTypeOnly }) => !isOurs && isMeant(to) && (withTypes || !isTypeOnly))
      .map(({ from }) => from),
  ),
];

describe('packages', () => {
  test('ws is used by the gateway only, at run time by the file that makes its server, and by the test client', () => {
    const testClient = 'testing/connect.test.client.ts';
    expect(importersOf((name) => name === 'ws')).toEqual(['gateway/push.socket.ts', testClient]);
    expect(importersOf((name) => name === 'ws', true).filter((file) => layerOf(file) !== 'gateway')).toEqual([
      testClient,
    ]);
  });

  test('what is optional is loaded by one file, or by what needs it anyway', () => {
    expect(importersOf((name) => name === '@opentelemetry/api')).toEqual(['observe/meter.ts']);
    expect(importersOf((name) => name === '@nestjs/terminus', true)).toEqual(['observe/push.health-indicator.ts']);
    const sdk = importersOf((name) => /^@opentelemetry\/(?!api$)/.test(name), true);
    expect([...new Set(sdk.map(layerOf))]).toEqual(['app']);
    const indicator = ours.filter(({ to }) => to === 'observe/push.health-indicator.ts').map(({ from }) => from);
    expect(indicator).toEqual(['terminus.ts']);
  });

  test('fan-out and protocol are TypeScript without packages', () => {
    const broken = imports.filter(
      ({ from, isOurs }) => !isOurs && ['fan-out', 'protocol', 'sdk'].includes(layerOf(from)),
    );
    expect(broken.filter(({ to }) => !to.startsWith('node:')).map(show)).toEqual([]);
    expect(broken.filter(({ from }) => layerOf(from) !== 'fan-out').map(show)).toEqual([]);
  });

  test('Nest is known to what is injected, and not to rules, ports and limits', () => {
    const nest = importersOf((name) => name.startsWith('@nestjs/'), true).map(layerOf);
    const allowed = new Set([
      ...TOP,
      ...LEAVES,
      'registry',
      'gateway',
      'observe',
      'push.service.ts',
      'push.module-definition.ts',
    ]);
    expect([...new Set(nest)].filter((layer) => !allowed.has(layer))).toEqual([]);
  });
});

const sourceOf = (file: string) => readFileSync(join(SRC, file), 'utf8');

const filesWith = (pattern: RegExp) => files.filter((file) => pattern.test(sourceOf(file)));

describe('sources', () => {
  test('only ws.sink.ts writes to a socket of the server', () => {
    const writers = filesWith(/\b(socket|webSocket)\.(write|cork|uncork|send)\(/i);
    expect(writers.filter((file) => !CLIENTS.has(layerOf(file)))).toEqual(['gateway/ws.sink.ts']);
  });

  test('the testing helpers know no test framework', () => {
    expect(importersOf((name) => /jest|^node:test/.test(name), true)).toEqual([]);
  });

  test('only main, app.module and app read the environment', () => {
    const readers = filesWith(/process\.env\b/).filter(
      (file) => !['main.ts', 'app.module.ts'].includes(file) && layerOf(file) !== 'app',
    );
    expect(readers).toEqual([]);
  });
});
