import { type LogLevel, type LoggerService } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import type { NestExpressApplication } from '@nestjs/platform-express';
import { AppModule } from '../app.module.js';
import type { Environment } from './environment.js';

/** Largest body of a request; over it 413. */
export const MAX_BODY_BYTES = 1024 * 1024;

/** The node as an application, not yet listening. */
export async function createApp(
  environment: Environment,
  logger?: LoggerService | LogLevel[] | false,
): Promise<NestExpressApplication> {
  const app = await NestFactory.create<NestExpressApplication>(AppModule.register(environment), {
    bodyParser: false,
    abortOnError: false,
    logger,
  });
  app.useBodyParser('json', { limit: MAX_BODY_BYTES });
  app.disable('x-powered-by');
  return app;
}
