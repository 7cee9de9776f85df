import { faultsOf, isObject, type Json, type JsonObject, pointedAt } from './json-schema.js';

/**
 * The rules of AsyncAPI 3.0.0 (https://www.asyncapi.com/docs/reference/specification/v3.0.0) for the objects that the
 * document uses: their fields, and what their references may point at.
 */

const EXTENSIONS = { '^x-[\\w.-]+$': {} };
const text = { type: 'string', minLength: 1 };

function object(required: JsonObject, optional: JsonObject = {}): JsonObject {
  return {
    type: 'object',
    required: Object.keys(required),
    properties: { ...required, ...optional },
    patternProperties: EXTENSIONS,
    additionalProperties: false,
  };
}

const many = (each: JsonObject): JsonObject => ({
  type: 'object',
  propertyNames: { pattern: '^[\\w.-]+$' },
  additionalProperties: each,
});
const list = (items: JsonObject): JsonObject => ({ type: 'array', items, uniqueItems: true, minItems: 1 });

function reference(pattern: string): JsonObject {
  const $ref = { type: 'string', pattern: `^${pattern}$` };
  return { type: 'object', required: ['$ref'], properties: { $ref }, additionalProperties: false };
}

const names = { title: text, summary: text, description: text };
const tag = object({ name: text }, { description: text });
const toComponent = (kind: string) => reference(`#/components/${kind}/[\\w.-]+`);

/** A JSON Schema of draft 7: its own compiler looks at it, here only that a reference stands alone. */
const schema: JsonObject = { anyOf: [toComponent('schemas'), { type: 'object', not: { required: ['$ref'] } }] };

const parameter = object({}, { description: text, enum: list(text), default: text, examples: list(text) });

const message = object(
  { name: text, title: text, payload: schema },
  {
    ...names,
    contentType: text,
    correlationId: toComponent('correlationIds'),
    examples: list(object({ payload: {} }, { name: text, summary: text })),
    tags: list(tag),
  },
);

const webSocketBinding = object(
  {},
  { method: { enum: ['GET', 'POST'] }, query: schema, headers: schema, bindingVersion: { const: '0.1.0' } },
);

const channel = object(
  { address: text, messages: many(toComponent('messages')) },
  {
    ...names,
    servers: list(reference('#/servers/\\w+')),
    parameters: many(toComponent('parameters')),
    bindings: object({}, { ws: webSocketBinding }),
    tags: list(tag),
  },
);

const toChannel = reference('#/channels/\\w+');
const toMessages = list(reference('#/channels/\\w+/messages/[\\w.-]+'));
const operation = object(
  { action: { enum: ['send', 'receive'] }, channel: toChannel, messages: toMessages },
  { ...names, tags: list(tag), reply: object({ channel: toChannel, messages: toMessages }) },
);

const server = object(
  { host: { type: 'string', pattern: '^[^/]+$' }, protocol: { enum: ['ws', 'wss'] } },
  { ...names, security: list(toComponent('securitySchemes')) },
);

const securityScheme: JsonObject = {
  anyOf: [
    object(
      { type: { const: 'httpApiKey' }, in: { enum: ['query', 'header', 'cookie'] }, name: text },
      { description: text },
    ),
    object({ type: { const: 'http' }, scheme: { const: 'bearer' } }, { bearerFormat: text, description: text }),
  ],
};

const correlationId = object(
  { location: { type: 'string', pattern: '^\\$message\\.(header|payload)#/' } },
  { description: text },
);

const root = object(
  {
    asyncapi: { const: '3.0.0' },
    info: object(
      { title: text, version: text },
      { description: text, license: object({ name: text }, { url: text }), tags: list(tag) },
    ),
    channels: many(channel),
    operations: many(operation),
  },
  {
    defaultContentType: text,
    servers: many(server),
    components: object(
      {},
      {
        schemas: many({ type: 'object' }),
        messages: many(message),
        parameters: many(parameter),
        securitySchemes: many(securityScheme),
        correlationIds: many(correlationId),
      },
    ),
  },
);

/** Every `$ref` of the document, wherever it stands. */
export function referencesIn(value: Json): string[] {
  if (Array.isArray(value)) return value.flatMap(referencesIn);
  if (!isObject(value)) return [];
  const { $ref, ...others } = value;
  return [...(typeof $ref === 'string' ? [$ref] : []), ...Object.values(others).flatMap(referencesIn)];
}

/** An operation, and its reply, may name messages of its own channel only. */
function foreignMessages(operations: JsonObject): string[] {
  const parts = Object.values(operations).flatMap((each) => (isObject(each) ? [each, each['reply'] ?? {}] : []));
  return parts.flatMap((part) => {
    if (!isObject(part) || part['channel'] === undefined) return [];
    const [of = ''] = referencesIn(part['channel']);
    return referencesIn(part['messages'] ?? []).filter((pointer) => !pointer.startsWith(`${of}/messages/`));
  });
}

/** The parameters of an address and those that are described. */
function unlikeParameters(channels: JsonObject): string[] {
  return Object.values(channels).flatMap((each) => {
    const { address = '', parameters = {} } = isObject(each) ? each : {};
    const inAddress = [...String(address).matchAll(/\{(\w+)\}/g)].map(([, name = '']) => name).toSorted();
    const described = Object.keys(isObject(parameters) ? parameters : {}).toSorted();
    return inAddress.join() === described.join() ? [] : [`${String(address)}: ${described.join()}`];
  });
}

/** What breaks the rules of AsyncAPI. */
export function asyncApiFaults(document: JsonObject): string[] {
  const faults = faultsOf(root, document);
  if (faults.length > 0) return faults;
  const dead = referencesIn(document).filter((pointer) => {
    try {
      return pointedAt(document, pointer) === undefined;
    } catch {
      return true;
    }
  });
  const { operations = {}, channels = {} } = document;
  return [...dead, ...foreignMessages(operations as JsonObject), ...unlikeParameters(channels as JsonObject)];
}
