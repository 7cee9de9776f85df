// First: see there.
import { shiftClock } from './clock.js';
import { Module } from '@nestjs/common';
import { APP_FILTER, NestFactory } from '@nestjs/core';
import type { NestExpressApplication } from '@nestjs/platform-express';
import { Environment, validateEnvironment } from '../../../src/app/environment.js';
import { AlarmController } from '../../../src/app/http/alarm.controller.js';
import { HealthController } from '../../../src/app/http/health.controller.js';
import { HttpExceptionFilter } from '../../../src/app/http/http-exception.filter.js';
import { RawDataController } from '../../../src/app/http/raw-data.controller.js';
import { PushModule } from '../../../src/index.js';
import { serveCalls } from '../../bench/rpc.js';
import type { GatewayApi, GatewaySettings } from './gateway.api.js';
import { QueryAuthenticator } from './query.authenticator.js';

let app: NestExpressApplication | undefined;

/** The node of the app, but with users and organisations, and with the options that a fault needs. */
async function listen({ port, ...options }: GatewaySettings): Promise<void> {
  const push = PushModule.forRoot({
    ...options,
    authenticator: new QueryAuthenticator(),
    heartbeatIntervalMs: 1000,
    heartbeatTimeoutMs: 45_000,
  });
  @Module({
    imports: [push],
    controllers: [AlarmController, RawDataController, HealthController],
    providers: [
      { provide: Environment, useValue: validateEnvironment({}) },
      { provide: APP_FILTER, useClass: HttpExceptionFilter },
    ],
  })
  class FaultNode {}
  app = await NestFactory.create<NestExpressApplication>(FaultNode, {
    bodyParser: false,
    abortOnError: false,
    logger: ['error', 'fatal'],
  });
  app.useBodyParser('json', { limit: '1mb' });
  await app.listen(port, '127.0.0.1');
}

const api: GatewayApi = {
  listen,
  shiftClock: async (ms) => shiftClock(ms),
  shutDown: async () => app?.close(),
};
serveCalls(api);
