import { readFileSync } from 'node:fs';
import { describe, expect, test } from '@jest/globals';
import { partFault } from '../../src/fan-out/key.js';
import {
  faultsOf,
  isObject,
  type Json,
  type JsonObject,
  pointedAt,
  resolved,
  objectIn,
} from '../support/json-schema.js';
import { openApi, operations } from '../support/openapi.js';

const components = objectIn(openApi['components']);

describe('every operation', () => {
  test('has a name of its own', () => {
    const names = operations.map(({ operationId }) => operationId);
    expect(new Set(names).size).toBe(operations.length);
  });

  const tags = (openApi['tags'] as JsonObject[]).map(({ name }) => name);

  test.each(operations)('$method $path has a tag, a summary, its parameters and its answers', (documented) => {
    const { path, operation, answers } = documented;
    expect(operation).toMatchObject({ summary: expect.any(String), tags: [expect.any(String)] });
    expect(tags).toEqual(expect.arrayContaining(operation['tags'] as string[]));
    const parameters = (operation['parameters'] ?? []) as JsonObject[];
    const ofPath = parameters.filter((each) => each['in'] === 'path').map(({ name }) => `{${String(name)}}`);
    expect(ofPath).toEqual(path.match(/\{\w+\}/g) ?? []);
    expect(Object.keys(answers)).toContain('default');
    for (const answer of Object.values(answers)) expect(answer).toMatchObject({ description: expect.any(String) });
  });
});

describe('the document', () => {
  test('uses every schema and answer that it declares, and no other', () => {
    const used = new Set([...JSON.stringify(openApi).matchAll(/"\$ref":"([^"]+)"/g)].map(([, pointer]) => pointer));
    const declared = ['schemas', 'responses'].flatMap((kind) =>
      Object.keys(objectIn(components[kind])).map((name) => `#/components/${kind}/${name}`),
    );
    expect([...used].toSorted()).toEqual(declared.toSorted());
  });

  test('uses every way to authenticate that it declares, and no other', () => {
    const used = operations.flatMap(({ operation }) => (operation['security'] ?? []) as JsonObject[]);
    expect(new Set(used.flatMap((each) => Object.keys(each)))).toEqual(
      new Set(Object.keys(objectIn(components['securitySchemes']))),
    );
  });

  test('has examples that its schemas take', () => {
    const faults: string[] = [];
    let count = 0;
    const check = (value: Json): void => {
      if (Array.isArray(value)) value.forEach(check);
      if (!isObject(value)) return;
      if (isObject(value['schema'])) {
        const schema = resolved(openApi, value['schema']);
        const shown = Object.values(objectIn(value['examples'])).map((example) => objectIn(example)['value']);
        faults.push(...shown.flatMap((each) => faultsOf(schema, each)));
        count += shown.length;
      }
      Object.values(value).forEach(check);
    };
    check(openApi);
    expect(count).toBeGreaterThan(20);
    expect(faults).toEqual([]);
  });

  test.each(['/push/raw-data', '/push/alarms', '/push/tickets'])('%s: has the examples of README.md', (path) => {
    const readme = readFileSync(new URL('../../README.md', import.meta.url), 'utf8');
    const bodies = [...readme.matchAll(/^curl (?:[^\n]*\\\n)*[^\n]*/gm)]
      .filter(([command]) => command.includes(path))
      .map(([command]) => JSON.parse(/-d '([^']+)'/.exec(command)?.[1] ?? 'null') as unknown);
    const content = `#/paths/${path.replaceAll('/', '~1')}/post/requestBody/content/application~1json`;
    const examples = Object.values(objectIn(objectIn(pointedAt(openApi, content))['examples']));
    expect(bodies.length).toBeGreaterThan(0);
    expect(examples.map((example) => objectIn(example)['value'])).toEqual(expect.arrayContaining(bodies));
  });

  test.each([
    'm',
    'a b',
    'a:b',
    'é'.repeat(64),
    '...',
    '*a',
    'x'.repeat(128),
    '',
    '*',
    '.',
    '..',
    'a\nb',
    '\u0000',
    '\u0085',
    '\u2028',
    'x'.repeat(129),
  ])('says of %j as a part of a key what the gateway says', (part) => {
    const schema = pointedAt(openApi, '#/components/schemas/RawDatum');
    expect(faultsOf(schema, { businessType: part }).length === 0).toBe(partFault(part) === undefined);
  });
});
