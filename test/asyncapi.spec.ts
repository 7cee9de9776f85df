import { describe, expect, test } from '@jest/globals';
import ts from 'typescript';
import { CloseCodes } from '../src/protocol/close-codes.js';
import { parseClientMessage } from '../src/protocol/client-message.js';
import { PushOptions } from '../src/push.options.js';
import { asyncApi, asyncApiAt, messagesOf, payloadOf } from './support/asyncapi.js';
import { asyncApiFaults, referencesIn } from './support/asyncapi.rules.js';
import { section, table, textOf, unquoted } from './support/documents.js';
import {
  faultsOf,
  isObject,
  type Json,
  type JsonObject,
  pointedAt,
  resolved,
  objectIn,
} from './support/json-schema.js';
import { openApi } from './support/openapi.js';
import { membersOf, messages } from './support/sources.js';

const namesAt = (pointer: string) => Object.keys(objectIn(pointedAt(asyncApi, pointer)));

const interfaceNamed = (name: string) =>
  messages.statements.find((node) => ts.isInterfaceDeclaration(node) && node.name.text === name) as
    ts.InterfaceDeclaration | undefined;

/** `{ a: string, b?: number }`: a type of src/protocol/messages.ts with all that it names spelt out. */
function shapeOfType(type: ts.TypeNode | undefined): string {
  if (type === undefined) return 'unknown';
  if (ts.isArrayTypeNode(type)) return `${shapeOfType(type.elementType)}[]`;
  if (ts.isTypeLiteralNode(type)) return shapeOfMembers(type.members);
  if (ts.isUnionTypeNode(type)) return type.types.map(shapeOfType).join(' | ');
  if (!ts.isTypeReferenceNode(type) || type.typeArguments !== undefined) return type.getText(messages);
  const name = type.typeName.getText(messages);
  const alias = messages.statements.find((node) => ts.isTypeAliasDeclaration(node) && node.name.text === name);
  if (alias !== undefined) return shapeOfType((alias as ts.TypeAliasDeclaration).type);
  return shapeOfMembers(allMembersOf(name));
}

/** With those of the interface that it extends, ahead of its own. */
function allMembersOf(name: string): ts.TypeElement[] {
  const declared = interfaceNamed(name);
  if (declared === undefined) throw new Error(`there is no type ${name}`);
  const bases = (declared.heritageClauses ?? []).flatMap(({ types }) => types.map((each) => each.getText(messages)));
  return [...bases.flatMap(allMembersOf), ...declared.members];
}

function shapeOfMembers(members: Iterable<ts.TypeElement>): string {
  const fields = [...members]
    .filter((member) => ts.isPropertySignature(member))
    .map((member) => {
      const mark = member.questionToken === undefined ? '' : '?';
      return `${member.name.getText(messages)}${mark}: ${shapeOfType(member.type)}`;
    });
  return `{ ${fields.join(', ')} }`;
}

const TYPE_NAMES: Readonly<Record<string, string>> = { integer: 'number' };

/** The same of a schema without references. */
function shapeOfSchema(schema: Json): string {
  const { type, items, properties, required = [], const: constant, enum: words, anyOf } = objectIn(schema);
  if (objectIn(schema)['additionalProperties'] === true) return 'Record<string, unknown>';
  if (constant !== undefined || Array.isArray(words)) {
    return (Array.isArray(words) ? words : [constant]).map((word) => `'${String(word)}'`).join(' | ');
  }
  // Texts that are exempt from a pattern are texts.
  if (Array.isArray(anyOf)) return anyOf.map(shapeOfSchema).find((shape) => !shape.startsWith("'")) ?? '';
  if (type === 'array') return `${shapeOfSchema(items ?? {})}[]`;
  if (!isObject(properties)) return TYPE_NAMES[String(type)] ?? String(type);
  const fields = Object.entries(properties).map(([name, each]) => {
    const mark = (required as Json[]).includes(name) ? '' : '?';
    return `${name}${mark}: ${shapeOfSchema(each)}`;
  });
  return fields.length === 0 ? 'Record<string, never>' : `{ ${fields.join(', ')} }`;
}

const dataOf = (name: string) => objectIn(payloadOf(name)['properties'])['data'] ?? null;

describe('asyncapi.yaml', () => {
  test('keeps the rules of AsyncAPI 3', () => {
    expect(asyncApiFaults(asyncApi)).toEqual([]);
  });

  test.each<[string, (broken: JsonObject) => void]>([
    ['a field that there is not', (broken) => (objectIn(broken['info'])['x'] = 1)],
    [
      'an action of version 2',
      (broken) => (objectIn(pointedAt(broken, '#/operations/sendAlarms'))['action'] = 'publish'),
    ],
    [
      'a message of another channel',
      (broken) =>
        (objectIn(pointedAt(broken, '#/operations/sendAlarms'))['messages'] = [
          { $ref: '#/channels/rawData/messages/rawData' },
        ]),
    ],
    ['a reference to nothing', (broken) => delete objectIn(pointedAt(broken, '#/components/messages'))['gap']],
    [
      'a parameter that is not described',
      (broken) => delete objectIn(pointedAt(broken, '#/channels/rawData/parameters'))['userName'],
    ],
  ])('the rules find %s', (_, breakIt) => {
    const broken = structuredClone(asyncApi);
    breakIt(broken);
    expect(asyncApiFaults(broken)).not.toEqual([]);
  });

  test('is of this version of the package', () => {
    const { version } = JSON.parse(textOf('package.json')) as { version: string };
    expect(asyncApiAt('#/info')).toMatchObject({ version });
  });

  test('uses all that it declares', () => {
    const used = new Set(referencesIn(asyncApi));
    const declared = namesAt('#/components').flatMap((kind) =>
      namesAt(`#/components/${kind}`).map((name) => `#/components/${kind}/${name}`),
    );
    const channels = namesAt('#/channels').flatMap((name) =>
      namesAt(`#/channels/${name}/messages`).map((message) => `#/channels/${name}/messages/${message}`),
    );
    expect([...declared, ...channels].filter((pointer) => !used.has(pointer))).toEqual([]);
  });

  test('has examples of every message, which its schemas take', () => {
    for (const name of namesAt('#/components/messages')) {
      const { payload = {}, examples } = objectIn(asyncApiAt(`#/components/messages/${name}`));
      expect(examples).toEqual(expect.arrayContaining([expect.anything()]));
      for (const example of examples as JsonObject[]) {
        expect({ name, faults: faultsOf(payload, example['payload']) }).toEqual({ name, faults: [] });
      }
    }
  });
});

describe('asyncapi.yaml says what the code says', () => {
  test('of the paths', () => {
    const { rawDataPath, alarmPath } = new PushOptions();
    expect([asyncApiAt('#/channels/rawData/address'), asyncApiAt('#/channels/alarms/address')]).toEqual(
      [rawDataPath, alarmPath].map((path) => path.replaceAll(/:(\w+)/g, '{$1}')),
    );
  });

  test.each([
    ['rawData', 'src/gateway/subscription.query.ts'],
    ['alarms', 'src/gateway/alarm.query.ts'],
  ])('of the query of %s', (channel, path) => {
    const read = [path, 'src/gateway/principal.check.ts', 'src/access/bearer.token.ts'].flatMap((each) =>
      [...textOf(each).matchAll(/query\??\.get(?:All)?\('(\w+)'\)/g)].map(([, name]) => name),
    );
    expect(read).toEqual(expect.arrayContaining(['ticket', 'access_token']));
    expect(new Set(namesAt(`#/channels/${channel}/bindings/ws/query/properties`))).toEqual(new Set(read));
  });

  test.each([
    ['send', 'ServerEvents', []],
    ['receive', 'ClientEvents', ['applicationEvent']],
  ] as const)('of the events of push.v1: %s', (action, name, others) => {
    const documented = messagesOf(action, 'push.v1').filter((each) => each !== 'text');
    expect(documented.toSorted()).toEqual([...membersOf(name).map((member) => member.name), ...others].toSorted());
  });

  test.each([...membersOf('ServerEvents'), ...membersOf('ClientEvents')].map(({ name, type }) => ({ name, type })))(
    'of the data of $name',
    ({ name, type }) => {
      expect(payloadOf(name)).toMatchObject({ properties: { event: { const: name } } });
      expect(shapeOfSchema(dataOf(name))).toBe(shapeOfType(type));
    },
  );

  test('of raw data and alarms, on both wires and in OpenAPI', () => {
    for (const [name, event, plain] of [
      ['RawDatum', 'rawData', 'plainRawDatum'],
      ['Alarm', 'alarm', 'plainAlarm'],
    ] as const) {
      expect(dataOf(event)).toEqual(resolved(openApi, pointedAt(openApi, `#/components/schemas/${name}`)));
      expect(payloadOf(plain)).toEqual(dataOf(event));
    }
    expect(messagesOf('send', 'plain').toSorted()).toEqual(['plainAlarm', 'plainRawDatum', 'text']);
  });

  test('of the messages that PROTOCOL.md shows', () => {
    const lines = [...textOf('docs/PROTOCOL.md').matchAll(/^(?:[<>] )?(\{ ?"event": ?".*\})/gm)];
    const shown = lines
      .map(([, text = '']) => text)
      .filter((text) => !text.includes('{…'))
      .map((text) => JSON.parse(text) as JsonObject);
    const faults = shown.flatMap((message) => {
      const name = String(message['event']);
      const schema = name === 'chat' ? 'applicationEvent' : name;
      return faultsOf(payloadOf(schema), message).map((fault) => `${JSON.stringify(message)}: ${fault}`);
    });
    expect(shown.length).toBeGreaterThan(40);
    expect(faults).toEqual([]);
  });

  test('of close codes', () => {
    const documented = (asyncApi['x-closeCodes'] as JsonObject[]).map(({ code, reason, after }) => ({
      code,
      reason,
      after,
    }));
    expect(documented).toEqual(
      Object.values(CloseCodes).map(({ code, reason, advice }) => ({ code, reason, after: advice })),
    );
  });

  test('of refusals, as PROTOCOL.md', () => {
    const rows = table(section(textOf('docs/PROTOCOL.md'), '## Refusals before the upgrade'), 'status', 'error');
    const documented = Object.entries(objectIn(asyncApi['x-refusals'])).flatMap(([status, words]) =>
      (words as string[]).map((word) => `${status} ${word}`),
    );
    expect(documented.toSorted()).toEqual(rows.map(([status, word]) => `${status} ${unquoted(word)}`).toSorted());
  });

  const KEY = { businessType: 'meter', businessId: 'm-7' };

  const sent: JsonObject[] = [
    { event: 'subscribe', data: { keys: [] } },
    { event: 'subscribe', ref: 'r', data: { keys: [{ ...KEY, maxFrequencyHz: 0.1, snapshot: false, history: 0 }] } },
    { event: 'subscribe', data: { keys: [{ ...KEY, maxFrequencyHz: 0 }] } },
    { event: 'subscribe', data: { keys: [{ ...KEY, maxFrequencyHz: 1001 }] } },
    { event: 'subscribe', data: { keys: [{ ...KEY, snapshot: 1 }] } },
    { event: 'subscribe', data: { keys: [{ ...KEY, history: -1 }] } },
    { event: 'subscribe', data: { keys: [{ businessType: 'meter' }] } },
    { event: 'subscribe', data: { keys: KEY } },
    { event: 'subscribe', data: { keys: Array.from({ length: 1001 }, () => KEY) } },
    { event: 'subscribe' },
    { event: 'unsubscribe', ref: 1, data: { keys: [KEY] } },
    { event: 'unsubscribe', ref: [], data: { keys: [KEY] } },
    { event: 'unsubscribe', ref: 'r'.repeat(65), data: { keys: [KEY] } },
    { event: 'mark', data: { n: 1 } },
    { event: 'mark', data: { n: 1.5 } },
    { event: 'ack', data: { id: 'a.0' } },
    { event: 'ack', data: { id: 'a.01' } },
    { event: 'ack', data: { id: `${'a'.repeat(33)}.1` } },
    { event: 'auth', data: { token: 'x' } },
    { event: 'auth', data: { token: '' } },
    { event: 'chat' },
    { event: 'chat', data: [1], ref: 1 },
    { event: '' },
    { event: 'x'.repeat(65) },
    { data: {} },
  ];

  test.each(sent.map((message): [string, JsonObject] => [JSON.stringify(message).slice(0, 120), message]))(
    'of what a client may send: %s',
    (_, message) => {
      const name = String(message['event']);
      const schema = membersOf('ClientEvents').some((member) => member.name === name) ? name : 'applicationEvent';
      let isTaken = true;
      try {
        parseClientMessage(JSON.stringify(message));
      } catch {
        isTaken = false;
      }
      expect({ message, isTaken: faultsOf(payloadOf(schema), message).length === 0 }).toEqual({ message, isTaken });
    },
  );
});
