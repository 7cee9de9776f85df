import { Ajv2020, type ValidateFunction } from 'ajv/dist/2020.js';

export type Json = null | boolean | number | string | Json[] | JsonObject;
export interface JsonObject {
  [name: string]: Json;
}

export const isObject = (value: Json | undefined): value is JsonObject =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/** Empty where it is none. */
export const objectIn = (value: Json | undefined): JsonObject => (isObject(value) ? value : {});

/** What a JSON pointer of a document, as `#/components/schemas/Alarm`, points at. */
export function pointedAt(document: JsonObject, pointer: string): Json {
  const found = pointer
    .split('/')
    .slice(1)
    .map((part) => part.replaceAll('~1', '/').replaceAll('~0', '~'))
    .reduce<Json | undefined>((value, part) => (isObject(value) ? value[part] : undefined), document);
  if (!pointer.startsWith('#/') || found === undefined) throw new Error(`${pointer} points at nothing`);
  return found;
}

/** A part of the document with what its references point at in their place. */
export function resolved(document: JsonObject, value: Json): Json {
  if (Array.isArray(value)) return value.map((each) => resolved(document, each));
  if (!isObject(value)) return value;
  const { $ref, ...others } = value;
  if (typeof $ref !== 'string') {
    return Object.fromEntries(Object.entries(value).map(([name, each]) => [name, resolved(document, each)]));
  }
  const target = resolved(document, pointedAt(document, $ref));
  return isObject(target) ? { ...target, ...others } : target;
}

/** A schema that takes only the fields that it names, unless it says that there may be others. */
function closed(schema: Json): Json {
  if (Array.isArray(schema)) return schema.map(closed);
  if (!isObject(schema)) return schema;
  const inside = Object.fromEntries(Object.entries(schema).map(([name, each]) => [name, closed(each)]));
  const isClosed = isObject(schema['properties']) && schema['additionalProperties'] === undefined;
  return isClosed ? { ...inside, additionalProperties: false } : inside;
}

const ajv = new Ajv2020({
  strict: true,
  strictRequired: true,
  allErrors: true,
  formats: {
    'date-time': /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/,
    uuid: /^[\da-f]{8}(-[\da-f]{4}){3}-[\da-f]{12}$/,
  },
});

const compiled = new Map<string, ValidateFunction>();

function validatorOf(schema: Json): ValidateFunction {
  const key = JSON.stringify(schema);
  const validator = compiled.get(key) ?? ajv.compile(closed(schema) as object);
  compiled.set(key, validator);
  return validator;
}

/** What is wrong with a value, also a field that the schema does not name. Throws where the schema, without references, is none. */
export function faultsOf(schema: Json, value: unknown): string[] {
  const validate = validatorOf(schema);
  if (validate(value)) return [];
  return (validate.errors ?? []).map(({ instancePath, message }) => `${instancePath || 'it'} ${message}`);
}
