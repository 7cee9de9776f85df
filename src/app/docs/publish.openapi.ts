import { answer, failure, failures, json, oneOrMany, type Operation, type PathItem, ref } from './openapi.answers.js';
import { PART } from './openapi.schemas.js';

/** By the key where `PUSH_PUBLISH_KEY` is set, else by nothing. */
const BY_KEY: Operation['security'] = [{ publishKey: [] }, {}];
const MAY_NOT_PUSH = { 401: 'KeyNeeded', 403: 'NotAllowed', 503: 'NotServing' } as const;

const DOOR = { businessId: 'm-7', severity: 700, message: 'Door left open' };

function target(name: string, description: string): NonNullable<Operation['parameters']>[number] {
  return { name: `to.${name}`, in: 'query', description, schema: PART };
}

const pushRawData: Operation = {
  tags: ['push'],
  operationId: 'pushRawData',
  summary: 'Push a raw datum, or an array of them',
  description:
    'All or nothing, in the order of the array. The parameters `to.…` replace the address of each datum and are ANDed.',
  security: BY_KEY,
  parameters: [
    target('businessType', 'Who subscribed to anything of this type.'),
    target('businessId', 'Who subscribed to this id; needs `to.businessType`.'),
    target('userName', 'Every connection of this user.'),
    target('clientId', 'This connection.'),
    { name: 'except', in: 'query', description: 'A clientId that is left out.', schema: PART },
  ],
  requestBody: {
    required: true,
    content: json(oneOrMany('RawDatum'), {
      one: { businessType: 'meter', businessId: 'm-7', series: 'kw', value: 21.5 },
      toEveryClientThatMaySeeTheType: { businessType: 'meter', value: 1 },
      several: [
        { businessType: 'meter', businessId: 'm-7', series: 'kw', value: 21.5 },
        { businessType: 'meter', businessId: 'm-7', series: 'v', value: 230.1 },
      ],
    }),
  },
  responses: {
    202: answer('Pushed.', 'RawDataAnswer', { accepted: 1, matched: 3 }),
    ...failures({ 400: 'Invalid', ...MAY_NOT_PUSH, 413: 'TooLarge', 415: 'NotJson' }),
  },
};

const pushAlarms: Operation = {
  tags: ['push'],
  operationId: 'pushAlarms',
  summary: 'Push an alarm, or an array of them',
  description: 'All or nothing, in the order of the array. Answered once they are stored.',
  security: BY_KEY,
  requestBody: {
    required: true,
    content: json(oneOrMany('Alarm'), {
      one: { ...DOOR, conditionId: 'door', active: true, eventId: 'e-1' },
      several: [DOOR, { businessId: 'm-9', severity: 400, message: 'Filter is due' }],
    }),
  },
  responses: {
    201: answer('Stored.', 'AlarmsAnswer', { alarms: [{ cursor: '30RtI33cIKcb.1', duplicate: false }] }),
    ...failures({ 400: 'Invalid', ...MAY_NOT_PUSH, 413: 'TooLarge', 415: 'NotJson' }),
    409: failure(409, 'The `eventId` was used for an alarm with other content.', [
      'eventIdConflict',
      'this eventId was used for an alarm with other content: use an eventId of its own for each event',
    ]),
    503: failure(
      503,
      'The node is starting or shutting down, or the alarm log did not confirm: `message` says `rejected` (it is not stored, ' +
        'push it again) or `unknown` (it may be stored, push it again with the same `eventId`).',
      ['alarmNotAccepted', 'the alarm was not accepted (rejected): the disk is full'],
      ['serviceUnavailable', 'this node is starting or shutting down'],
    ),
  },
};

const CLIENT = {
  gateway: 'rawData',
  clientId: '7b78c52a-2f1b-46e7-a57d-7f2082ee5502',
  key: 'websocket:rowdata:meter:m-7:ann:7b78c52a-2f1b-46e7-a57d-7f2082ee5502',
  userName: 'ann',
  remoteAddress: '127.0.0.1',
  wireFormat: 'push.v1',
  connectedAt: '2026-11-25T08:00:00.000Z',
  inFlightBytes: 0,
  outboxBytes: 0,
  behind: 0,
  conflated: 0,
  subscriptions: [{ businessType: 'meter', businessId: 'm-7' }],
};
const NODE_ID = 'q0vXx3lBvS1m';

const listClients: Operation = {
  tags: ['clients'],
  operationId: 'listClients',
  summary: 'Who is connected',
  description:
    "In pages, the clients of the raw-data gateway first, each gateway's oldest first; of all nodes, the node that started " +
    'first before the others. Clients that leave between two pages move the rest up.',
  security: BY_KEY,
  parameters: [
    {
      name: 'scope',
      in: 'query',
      description: 'Of this node, or of all nodes that share its Redis.',
      schema: { enum: ['node', 'cluster'], default: 'node' },
    },
    { name: 'limit', in: 'query', schema: { type: 'integer', minimum: 1, maximum: 1000, default: 100 } },
    { name: 'offset', in: 'query', schema: { type: 'integer', minimum: 0, default: 0 } },
  ],
  responses: {
    200: {
      description: 'A page.',
      content: json(
        { anyOf: [ref('ClientsPage'), ref('ClusterClientsPage')] },
        {
          node: { total: 2, clients: [CLIENT] },
          cluster: {
            total: 2,
            nodes: [{ nodeId: NODE_ID, rawData: 1, alarms: 1 }],
            unanswered: [],
            clients: [{ nodeId: NODE_ID, ...CLIENT }],
          },
        },
      ),
    },
    ...failures({ 400: 'Invalid', ...MAY_NOT_PUSH }),
    503: failure(
      503,
      'The node is starting or shutting down, or, of all nodes, Redis does not answer.',
      ['clusterUnavailable', 'the other nodes cannot be asked now, since Redis does not answer: try again later'],
      ['serviceUnavailable', 'this node is starting or shutting down'],
    ),
  },
};

const issueTicket: Operation = {
  tags: ['clients'],
  operationId: 'issueTicket',
  summary: 'A one-time ticket for one path',
  description:
    'For the user of the token. It is good for 30 s and goes into the query of the path as `ticket`. Where connecting to the ' +
    'path would be refused, the answer is that refusal.',
  security: [{ token: [] }, {}],
  requestBody: {
    required: true,
    content: json(ref('TicketRequest'), {
      rawData: { path: '/ws/rowdata/meter/m-7/ann' },
      alarms: { path: '/ws/alarm' },
    }),
  },
  responses: {
    201: answer('Issued.', 'TicketAnswer', { ticket: 'pQ0vXx3lBvS1mTqfWm8dXk9b2a1GZc7e', expiresInMs: 30_000 }),
    ...failures({ 401: 'NotLetIn', 403: 'NotForThisUser', 415: 'NotJson', 429: 'TooMany', 503: 'NoPlace' }),
    400: failure(
      400,
      'The path is none of the gateways, or has a query; or the body is no JSON with a `path`.',
      ['path', 'path must be one of the gateways, without a query'],
      ['invalidPush', 'path must be the path that will be connected to', 'path'],
    ),
  },
};

export const PUBLISH_PATHS: Readonly<Record<string, PathItem>> = {
  '/push/raw-data': { post: pushRawData },
  '/push/alarms': { post: pushAlarms },
  '/push/clients': { get: listClients },
  '/push/tickets': { post: issueTicket },
};
