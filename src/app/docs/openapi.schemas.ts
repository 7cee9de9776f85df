import type { OpenAPIObject } from '@nestjs/swagger';
import { MAX_PART_BYTES } from '../../fan-out/key.js';
import type { TicketAnswer } from '../../gateway/ticket.office.js';
import type { KeyAddress } from '../../protocol/messages.js';
import { MAX_NAME_BYTES } from '../../push.rules.js';
import type { Alarm, AlarmReceipt, RawDatum } from '../../push.types.js';
import type { DemoHost } from '../demo/dashboard.controller.js';
import type { AlarmsAnswer } from '../http/alarm.controller.js';
import type { LivenessReport, ReadinessReport } from '../http/health.controller.js';
import type { ErrorBody } from '../http/http-exception.filter.js';
import type { RawDataAnswer } from '../http/raw-data.controller.js';
import type { TicketRequest } from '../http/ticket.controller.js';
import type { ClientsPage, ListedClient } from '../../registry/client.list.js';
import type { ClusterClient, ClusterClientsPage, NodeCounts } from '../../registry/cluster.service.js';

type Schemas = NonNullable<NonNullable<OpenAPIObject['components']>['schemas']>;
export type Schema = Schemas[string];

/** The names that a type spells out; an index signature is what {@link OPEN} is for. */
type Fields<T> = { [K in keyof T as string extends K ? never : K]: T[K] };
type OptionalName<T> = { [K in keyof Fields<T>]-?: undefined extends T[K] ? K : never }[keyof Fields<T>];
type RequiredFields<T> = Record<Exclude<keyof Fields<T>, OptionalName<T>>, Schema>;
type OptionalFields<T> = Record<OptionalName<T>, Schema>;

const OPEN = { additionalProperties: true };

/** The schema of T: the compiler sees to it that each of its fields is here, with whether it may be absent, and no other. */
function objectOf<T>(
  description: string,
  required: RequiredFields<T>,
  optional: OptionalFields<T>,
  more: object = {},
): Schema {
  return {
    type: 'object',
    description,
    required: Object.keys(required),
    properties: { ...required, ...optional },
    ...more,
  };
}

/** As `partFault` of src/fan-out/key.ts; a schema counts characters, of which a byte each is the fewest. */
export const PART = {
  type: 'string',
  minLength: 1,
  maxLength: MAX_PART_BYTES,
  pattern: String.raw`^(?!(\*|\.|\.\.)$)[^\u0000-\u001f\u007f-\u009f\u2028\u2029]*$`,
};
const NAME = { type: 'string', minLength: 1, maxLength: MAX_NAME_BYTES };
const COUNT = { type: 'integer', minimum: 0 };
const part = (description: string): Schema => ({ ...PART, description });
const count = (description: string): Schema => ({ ...COUNT, description });

const rawDatum = objectOf<RawDatum>(
  'Live telemetry: any JSON object of at most 1 MiB. Its address and its series stand in it.',
  { businessType: part('1 to 128 bytes, no control characters, not `*`, `.` or `..`; compared whole.') },
  {
    businessId: {
      anyOf: [PART, { enum: [''] }],
      description: 'As businessType. Absent or empty: every client that may see the businessType.',
    },
    series: {
      description:
        'What it is a value of: a newer value of a series replaces an older one that a slow client was not sent yet. ' +
        'A string of at most 128 bytes; anything else is payload.',
    },
  },
  OPEN,
);

const alarm = objectOf<Alarm>(
  'Something that happened and that operators must learn of. At most 64 KiB of JSON.',
  { businessId: part('1 to 128 bytes, as a part of a key.') },
  {
    businessType: part('As businessId.'),
    severity: { type: 'integer', minimum: 1, maximum: 1000, description: 'OPC UA Part 9. Absent counts as 1000.' },
    orgId: { ...NAME, description: 'Organisation that it concerns, segments separated by `/`. Absent: everybody.' },
    conditionId: { ...NAME, description: 'One condition is raised, changes and clears under one id.' },
    active: { type: 'boolean', description: 'Whether the condition holds. Needs `conditionId`.' },
    eventId: { ...NAME, description: 'Idempotency key: the same one with the same content is stored once.' },
  },
  OPEN,
);

const CLIENT: RequiredFields<ListedClient> = {
  gateway: { enum: ['rawData', 'alarm'] },
  clientId: part('The name of the connection.'),
  key: { type: 'string', description: 'Its address; each part is percent-encoded.' },
  userName: { type: 'string' },
  remoteAddress: { type: 'string' },
  wireFormat: { enum: ['plain', 'push.v1'] },
  connectedAt: { type: 'string', format: 'date-time' },
  inFlightBytes: count('Bytes written that the client has not confirmed to have read.'),
  outboxBytes: count('Bytes that wait for the in-flight window to open.'),
  behind: count('Alarms of the log that the client has not been written yet; 0 on raw data.'),
  conflated: count('Raw data that were replaced by newer ones because the client was slow.'),
};
const CLIENT_OPTIONAL: OptionalFields<ListedClient> = {
  subscriptions: {
    type: 'array',
    items: { $ref: '#/components/schemas/KeyAddress' },
    description: 'Of the raw-data gateway: the first 20 keys that the client is subscribed to.',
  },
};

const NODE_COUNTS: RequiredFields<NodeCounts> = {
  nodeId: { type: 'string', description: 'Another one after each start of the node.' },
  rawData: count('Clients of its raw-data gateway.'),
  alarms: count('Clients of its alarm gateway.'),
};

export const SCHEMAS = {
  RawDatum: rawDatum,
  RawDataAnswer: objectOf<RawDataAnswer>(
    'What became of the push.',
    {
      accepted: count('How many data were pushed: 1, or the length of the array.'),
      matched: count('Clients of this node that they matched; of an array the sum.'),
    },
    {},
  ),
  Alarm: alarm,
  AlarmReceipt: objectOf<AlarmReceipt>(
    'A stored alarm.',
    {
      cursor: { type: 'string', description: "The alarm's place in the log, `<epoch>.<offset>`." },
      duplicate: { type: 'boolean', description: "The same eventId was stored before; the cursor is the first one's." },
    },
    {},
  ),
  AlarmsAnswer: objectOf<AlarmsAnswer>(
    'A receipt for each alarm, in their order.',
    { alarms: { type: 'array', items: { $ref: '#/components/schemas/AlarmReceipt' } } },
    {},
  ),
  ClientsPage: objectOf<ClientsPage>(
    'Who is connected.',
    {
      total: count('Clients of this node, on all pages.'),
      clients: { type: 'array', items: { $ref: '#/components/schemas/ListedClient' } },
    },
    {},
  ),
  ClusterClientsPage: objectOf<ClusterClientsPage>(
    'Who is connected to any node.',
    {
      total: count('Clients of all nodes that answered, on all pages.'),
      nodes: { type: 'array', items: { $ref: '#/components/schemas/NodeCounts' } },
      unanswered: {
        type: 'array',
        items: { type: 'string' },
        description: 'Nodes that did not answer in time: their clients are missing.',
      },
      clients: { type: 'array', items: { $ref: '#/components/schemas/ClusterClient' } },
    },
    {},
  ),
  NodeCounts: objectOf<NodeCounts>('How many clients a node has.', NODE_COUNTS, {}),
  ListedClient: objectOf<ListedClient>('One connection, and how it keeps up.', CLIENT, CLIENT_OPTIONAL),
  ClusterClient: objectOf<ClusterClient>(
    'One connection to any node.',
    { nodeId: { type: 'string', description: 'The node that it is connected to.' }, ...CLIENT },
    CLIENT_OPTIONAL,
  ),
  KeyAddress: objectOf<KeyAddress>(
    'What a client is subscribed to.',
    { businessType: PART, businessId: { anyOf: [PART, { enum: ['*'] }], description: '`*`: the whole businessType.' } },
    {},
  ),
  TicketRequest: objectOf<TicketRequest>(
    'What the ticket is for.',
    { path: { type: 'string', description: "A gateway's path as it will be connected to, without query." } },
    {},
  ),
  TicketAnswer: objectOf<TicketAnswer>(
    'A one-time ticket.',
    {
      ticket: { type: 'string', description: 'Goes into the query of the path as `ticket`.' },
      expiresInMs: count('How long it is good.'),
    },
    {},
  ),
  LivenessReport: objectOf<LivenessReport>('This process answers.', { status: { enum: ['ok'] } }, {}),
  ReadinessReport: objectOf<ReadinessReport>(
    'Whether new clients are to be sent to this node, and why not.',
    {
      status: { enum: ['ok', 'unavailable'] },
      phase: { enum: ['starting', 'serving', 'leaving', 'draining'] },
      alarmLog: objectOf<ReadinessReport['alarmLog']>(
        'The alarm log.',
        { durable: { type: 'boolean', description: 'Alarms outlive this process.' } },
        { fault: { type: 'string', description: 'Why the log cannot take alarms now.' } },
      ),
      eventLoop: objectOf<ReadinessReport['eventLoop']>(
        'How much later than due the event loop came to its timers in the last 10 s.',
        { p99Ms: { type: 'number', minimum: 0 }, maxMs: { type: 'number', minimum: 0 } },
        {},
      ),
    },
    {
      redis: objectOf<NonNullable<ReadinessReport['redis']>>(
        'The way to the other nodes, where there are any.',
        {},
        { fault: { type: 'string', description: 'Why other nodes cannot be heard now.' } },
      ),
    },
  ),
  DemoHost: objectOf<DemoHost>(
    "The address of this machine's telemetry.",
    {
      businessType: PART,
      businessId: PART,
      isPublishKeyNeeded: { type: 'boolean', description: 'Whether pushing needs the publish key.' },
    },
    {},
  ),
  ErrorBody: objectOf<ErrorBody>(
    'Any answer that is not a success.',
    {
      statusCode: { type: 'integer', minimum: 400, maximum: 599 },
      error: { type: 'string', pattern: '^[a-z][A-Za-z]*$', description: 'A stable word.' },
      message: { type: 'string', description: 'What to do about it; for developers, and may change.' },
    },
    {
      field: {
        type: 'string',
        description: 'Path of what is wrong in the body or the query, in an array with its index.',
      },
    },
  ),
} satisfies Schemas;
