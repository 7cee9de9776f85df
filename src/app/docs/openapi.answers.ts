import type { OpenAPIObject } from '@nestjs/swagger';
import type { SCHEMAS } from './openapi.schemas.js';

export type PathItem = OpenAPIObject['paths'][string];
export type Operation = NonNullable<PathItem['get']>;
export type Answers = Operation['responses'];
type Answer = NonNullable<Answers[string]>;

export function ref(name: keyof typeof SCHEMAS): { $ref: string } {
  return { $ref: `#/components/schemas/${name}` };
}

/** One object, or an array of them in its order. */
export function oneOrMany(name: 'RawDatum' | 'Alarm'): object {
  return { oneOf: [ref(name), { type: 'array', items: ref(name) }] };
}

/** JSON, with an example for each name. */
export function json(schema: object, examples: Readonly<Record<string, unknown>>): NonNullable<Content> {
  const named = Object.entries(examples).map(([name, value]) => [name, { value }]);
  return { 'application/json': { schema, examples: Object.fromEntries(named) } };
}
type Content = Extract<Answer, { content?: unknown }>['content'];

/** A success with a JSON body. */
export function answer(description: string, schema: keyof typeof SCHEMAS, example: unknown): Answer {
  return { description, content: json(ref(schema), { example }) };
}

/** An ErrorBody. The examples are what the node really answers: `error`, `message`, and perhaps `field`. */
export function failure(
  statusCode: number,
  description: string,
  ...examples: readonly [error: string, message: string, field?: string][]
): Answer {
  const bodies = examples.map(([error, message, field]) => {
    return [error, { statusCode, error, message, ...(field === undefined ? {} : { field }) }];
  });
  return { description, content: json(ref('ErrorBody'), Object.fromEntries(bodies)) };
}

const SHUTTING_DOWN = 'this node is starting or shutting down';

/** What several routes answer where they fail, by name. */
export const FAILURES = {
  Invalid: failure(
    400,
    'A field or a query parameter breaks a rule (`invalidPush`): `field` names it, in an array with its index. Or the body ' +
      'is no JSON (`badRequest`).',
    ['invalidPush', '[1].businessId must not be empty', '[1].businessId'],
  ),
  KeyNeeded: failure(401, 'The publish key is missing or wrong.', [
    'unauthorized',
    'the publish key is needed: Authorization: Bearer <key>',
  ]),
  NotAllowed: failure(
    403,
    'Not from this machine, or `PUSH_AUTH=jwt`, although there is no publish key; or from a page of a foreign origin.',
    ['forbidden', 'without PUSH_PUBLISH_KEY only this machine may push'],
  ),
  TooLarge: failure(413, 'A body or a raw datum over 1 MiB, or an alarm over 64 KiB.', [
    'payloadTooLarge',
    'the alarm is 70000 bytes of JSON; at most 65536 are allowed: split it, or send a reference',
  ]),
  NotJson: failure(415, 'The Content-Type is not `application/json`.', [
    'unsupportedMediaType',
    'the Content-Type must be application/json',
  ]),
  NotServing: failure(503, 'The node is starting or shutting down.', ['serviceUnavailable', SHUTTING_DOWN]),
  Failed: failure(500, 'A fault of this node, or what its HTTP server refuses by itself.', [
    'internalServerError',
    'the request failed; the log of this node says why',
  ]),
  NotLetIn: failure(
    401,
    'The token or the ticket is missing, or not one that counts.',
    [
      'tokenMissing',
      'a token is required: as "Authorization: Bearer <token>", or as the subprotocol "bearer.<token>" beside "push.v1"',
    ],
    ['tokenExpired', 'the token has expired: fetch a new one'],
  ),
  NotForThisUser: failure(
    403,
    'Not for this user, this origin, or, without tokens, not from this machine.',
    ['forbiddenUser', 'the userName of the path is not the one that is authenticated'],
    ['forbiddenKey', 'this may not be seen with these credentials'],
  ),
  TooMany: failure(429, 'Too many connections of this address or user, or too many a second.', [
    'addressLimit',
    'too many connections from this address: close some first',
  ]),
  NoPlace: failure(503, 'The node takes no clients now, or could not decide.', [
    'unavailable',
    'this node is starting or shutting down: try again, perhaps at another node',
  ]),
} as const;

/** References to {@link FAILURES}, one a status, with one for all other statuses. */
export function failures(byStatus: Readonly<Record<number, keyof typeof FAILURES>>): Answers {
  const named = Object.entries({ ...byStatus, default: 'Failed' as const }).map(([status, name]) => [
    status,
    { $ref: `#/components/responses/${name}` },
  ]);
  return Object.fromEntries(named) as Answers;
}
