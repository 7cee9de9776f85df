import { PushOptions } from '../../push.options.js';
import { failure, failures, type Operation, type PathItem } from './openapi.answers.js';
import { PART, type Schema } from './openapi.schemas.js';

type Parameter = NonNullable<Operation['parameters']>[number];

const WHY =
  'This is a WebSocket endpoint. A browser tells its page only that a connection failed; a plain GET runs the same checks and ' +
  'answers why. The messages are described in docs/PROTOCOL.md and docs/asyncapi.yaml.';

const query = (name: string, schema: Schema): Parameter => ({ name, in: 'query', schema });
const repeated = (name: string): Parameter => query(name, { type: 'array', items: PART });
const TICKET: Parameter = {
  ...query('ticket', { type: 'string' }),
  description: 'A one-time ticket of `/push/tickets`.',
};

function askWhy(operationId: string, gateway: string, parameters: Parameter[]): PathItem {
  return {
    get: {
      tags: ['gateways'],
      operationId,
      summary: `What connecting to ${gateway} would be answered`,
      description: WHY,
      security: [{ token: [] }, {}],
      parameters: [...parameters, TICKET],
      responses: {
        ...failures({ 401: 'NotLetIn', 403: 'NotForThisUser', 429: 'TooMany', 503: 'NoPlace' }),
        400: failure(400, 'A part of the path or a parameter breaks its rule.', [
          'parameter',
          'minSeverity must be a whole number from 1 to 1000',
        ]),
        426: failure(426, 'Nothing is wrong: a WebSocket would be let in.', [
          'upgradeRequired',
          'this is a WebSocket endpoint: connect with ws:// or wss:// instead of fetching it',
        ]),
      },
    },
  };
}

const { rawDataPath, alarmPath } = new PushOptions();
const nameOfPart = /:(\w+)/g;
const partsOfPath = [...rawDataPath.matchAll(nameOfPart)].map(([, name = '']): Parameter => {
  return { name, in: 'path', required: true, schema: PART };
});

export const GATEWAY_PATHS: Readonly<Record<string, PathItem>> = {
  [rawDataPath.replaceAll(nameOfPart, '{$1}')]: askWhy('askRawDataGateway', 'the raw-data gateway', [
    ...partsOfPath,
    query('maxFrequencyHz', { type: 'number', minimum: 0, maximum: 1000 }),
    query('snapshot', { type: 'boolean' }),
    query('history', { type: 'integer', minimum: 0 }),
  ]),
  [alarmPath]: askWhy('askAlarmGateway', 'the alarm gateway', [
    query('minSeverity', { type: 'integer', minimum: 1, maximum: 1000 }),
    repeated('businessType'),
    repeated('businessId'),
    query('replay', { anyOf: [{ enum: ['all', 'active'] }, { type: 'integer', minimum: 1, maximum: 1000 }] }),
  ]),
};
