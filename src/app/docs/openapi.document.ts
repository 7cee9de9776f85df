import { createRequire } from 'node:module';
import type { OpenAPIObject } from '@nestjs/swagger';
import type { Environment } from '../environment.js';
import { GATEWAY_PATHS } from './gateway.openapi.js';
import { DEMO_PATHS, NODE_PATHS } from './node.openapi.js';
import { FAILURES } from './openapi.answers.js';
import { SCHEMAS } from './openapi.schemas.js';
import { PUBLISH_PATHS } from './publish.openapi.js';

const { version } = createRequire(import.meta.url)('../../../package.json') as { version: string };

const TAGS = [
  { name: 'push', description: 'Data and alarms go out to clients.' },
  { name: 'clients', description: 'Who is connected, and tickets for those who will be.' },
  { name: 'gateways', description: 'The WebSocket paths, asked why they refuse.' },
  { name: 'node', description: 'How this node is.' },
];
const DEMO_TAG = { name: 'demo', description: 'The dashboard and its data source.' };

/**
 * The HTTP routes of the node. Written as data and compared with a running node by a test, so that a node without the
 * page of it need not load @nestjs/swagger.
 */
export function openApiDocument({ isDemo }: Environment): OpenAPIObject {
  return {
    openapi: '3.1.0',
    info: {
      title: 'Push gateway',
      version,
      description: 'The HTTP routes of the node. What goes over its WebSockets stands in docs/asyncapi.yaml.',
      license: { name: 'MIT' },
    },
    tags: [...TAGS, ...(isDemo ? [DEMO_TAG] : [])],
    paths: { ...PUBLISH_PATHS, ...GATEWAY_PATHS, ...NODE_PATHS, ...(isDemo ? DEMO_PATHS : {}) },
    components: {
      schemas: SCHEMAS,
      responses: FAILURES,
      securitySchemes: {
        publishKey: {
          type: 'http',
          scheme: 'bearer',
          description:
            '`PUSH_PUBLISH_KEY`. Where it is not set only this machine may push, and with `PUSH_AUTH=jwt` nobody.',
        },
        token: {
          type: 'http',
          scheme: 'bearer',
          bearerFormat: 'JWT',
          description: "A user's token, with `PUSH_AUTH=jwt`.",
        },
      },
    },
  };
}
