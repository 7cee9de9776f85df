import { Logger, type LoggerService } from '@nestjs/common';
import type { NestExpressApplication } from '@nestjs/platform-express';
import { AppModule, type AppParts } from '../app.module.js';
import { createApp } from './app.factory.js';
import type { Environment } from './environment.js';

export interface NodeRun extends AppParts {
  readonly logger?: LoggerService;
}

/** Starts the node in this process. It ends in order on SIGTERM and SIGINT, with code 0. */
export async function startNode(
  environment: Environment,
  { logger, ...parts }: NodeRun = {},
): Promise<NestExpressApplication> {
  const app = await createApp(environment, logger, AppModule.register(environment, parts));
  app.enableShutdownHooks(['SIGTERM', 'SIGINT'], { useProcessExit: true });
  await app.listen(environment.PORT, environment.HOST);
  const dashboard = environment.isDemo ? ', open it in a browser for the dashboard' : '';
  new Logger('Node').log(`listening on ${await app.getUrl()}${dashboard}`);
  return app;
}
