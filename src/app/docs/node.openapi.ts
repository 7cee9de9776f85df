import { answer, failure, failures, type Operation, type PathItem } from './openapi.answers.js';

const isLive: Operation = {
  tags: ['node'],
  operationId: 'isLive',
  summary: 'Whether the process answers',
  responses: { 200: answer('It does.', 'LivenessReport', { status: 'ok' }), ...failures({}) },
};

const isReady: Operation = {
  tags: ['node'],
  operationId: 'isReady',
  summary: 'Whether new clients are to be sent to this node',
  responses: {
    200: answer('They are.', 'ReadinessReport', {
      status: 'ok',
      phase: 'serving',
      alarmLog: { durable: true },
      eventLoop: { p99Ms: 1.2, maxMs: 14.5 },
    }),
    503: answer(
      'It is starting or shutting down, or what PUSH_READINESS_CHECKS names is at fault.',
      'ReadinessReport',
      {
        status: 'unavailable',
        phase: 'serving',
        alarmLog: { durable: true, fault: 'the disk is full' },
        redis: {},
        eventLoop: { p99Ms: 1.2, maxMs: 14.5 },
      },
    ),
    ...failures({}),
  },
};

const text = (contentType: string) => ({ [contentType]: { schema: { type: 'string' } } });

const metrics: Operation = {
  tags: ['node'],
  operationId: 'metrics',
  summary: 'What this node counts and measures',
  description:
    'In the text format of Prometheus, also while the node starts or shuts down. With `PUSH_WORKERS` of all workers.',
  security: [{ publishKey: [] }, {}],
  responses: {
    200: { description: 'A scrape.', content: text('text/plain') },
    ...failures({ 401: 'KeyNeeded', 403: 'NotAllowed' }),
  },
};

export const NODE_PATHS: Readonly<Record<string, PathItem>> = {
  '/health/live': { get: isLive },
  '/health/ready': { get: isReady },
  '/metrics': { get: metrics },
};

const dashboardFile: Operation = {
  tags: ['demo'],
  operationId: 'dashboardFile',
  summary: 'A file of the dashboard',
  parameters: [{ name: 'name', in: 'path', required: true, schema: { type: 'string' }, example: 'dashboard.js' }],
  responses: {
    200: {
      description: 'The file.',
      content: { ...text('text/javascript'), ...text('text/css'), ...text('image/svg+xml'), ...text('text/html') },
    },
    ...failures({}),
    404: failure(404, 'The dashboard has no such file.', ['notFound', 'the dashboard has no such file']),
  },
};

const clientModule = (operationId: string, summary: string, example: string): Operation => ({
  tags: ['demo'],
  operationId,
  summary,
  parameters: [{ name: 'name', in: 'path', required: true, schema: { type: 'string' }, example }],
  responses: {
    200: { description: 'The module.', content: text('text/javascript') },
    ...failures({}),
    404: failure(404, 'There is no such module.', ['notFound', 'the dashboard has no such file']),
  },
});

/** With `PUSH_DEMO` only. */
export const DEMO_PATHS: Readonly<Record<string, PathItem>> = {
  '/': {
    get: {
      tags: ['demo'],
      operationId: 'dashboard',
      summary: 'The dashboard',
      responses: { 200: { description: 'A page.', content: text('text/html') }, ...failures({}) },
    },
  },
  '/assets/{name}': { get: dashboardFile },
  '/client/sdk/{name}': { get: clientModule('clientModule', 'A module of the client library', 'index.js') },
  '/client/protocol/{name}': {
    get: clientModule('protocolModule', 'A module that the client library imports', 'messages.js'),
  },
  '/demo/host': {
    get: {
      tags: ['demo'],
      operationId: 'demoHost',
      summary: "The address of this machine's telemetry",
      responses: {
        200: answer('The address.', 'DemoHost', {
          businessType: 'host',
          businessId: 'plant-1',
          isPublishKeyNeeded: false,
        }),
        ...failures({}),
      },
    },
  },
};
