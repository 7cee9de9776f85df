import { Logger } from '@nestjs/common';
import { createApp } from './app/app.factory.js';
import { EnvironmentError } from './app/environment.js';
import { readEnvironment } from './app/environment.reader.js';

const logger = new Logger('Node');

async function start(): Promise<void> {
  const environment = await readEnvironment();
  const app = await createApp(environment);
  app.enableShutdownHooks(['SIGTERM', 'SIGINT'], { useProcessExit: true });
  await app.listen(environment.PORT, environment.HOST);
  const url = await app.getUrl();
  logger.log(`listening on ${url}${environment.isDemo ? ', open it in a browser for the dashboard' : ''}`);
}

/** A wrong setting or a port in use is the operator's to mend: a stack would only hide what to do. */
function explain(cause: unknown): string {
  if (cause instanceof EnvironmentError) return cause.message;
  if (!(cause instanceof Error)) return String(cause);
  return 'syscall' in cause ? cause.message : (cause.stack ?? cause.message);
}

try {
  await start();
} catch (cause) {
  logger.fatal(`cannot start: ${explain(cause)}`);
  process.exit(1);
}
