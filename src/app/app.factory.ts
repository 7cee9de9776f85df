import { readFile } from 'node:fs/promises';
import { type LogLevel, type LoggerService, type NestApplicationOptions } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import type { NestExpressApplication } from '@nestjs/platform-express';
import { AppModule } from '../app.module.js';
import { serveDocs } from './docs/docs.page.js';
import type { Environment } from './environment.js';

/** Largest body of a request; over it 413. */
export const MAX_BODY_BYTES = 1024 * 1024;

/** Certificate and key as the files hold them; the node itself speaks plain HTTP without. */
async function tlsOf({
  PUSH_TLS_CERT,
  PUSH_TLS_KEY,
}: Environment): Promise<Pick<NestApplicationOptions, 'httpsOptions'>> {
  if (PUSH_TLS_CERT === undefined || PUSH_TLS_KEY === undefined) return {};
  const [cert, key] = await Promise.all([readFile(PUSH_TLS_CERT), readFile(PUSH_TLS_KEY)]);
  return { httpsOptions: { cert, key } };
}

/** The node as an application, not yet listening; `root` is its module, perhaps with other providers. */
export async function createApp(
  environment: Environment,
  logger?: LoggerService | LogLevel[] | false,
  root = AppModule.register(environment),
): Promise<NestExpressApplication> {
  const app = await NestFactory.create<NestExpressApplication>(root, {
    bodyParser: false,
    ...(await tlsOf(environment)),
    abortOnError: false,
    logger,
  });
  app.useBodyParser('json', { limit: MAX_BODY_BYTES });
  app.disable('x-powered-by');
  if (environment.hasDocs) await serveDocs(app, environment);
  return app;
}
