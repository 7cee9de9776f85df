import cluster from 'node:cluster';
import { ConsoleLogger, Logger } from '@nestjs/common';
import { type Environment, EnvironmentError, pushOptionsOf } from './app/environment.js';
import { readEnvironment } from './app/environment.reader.js';
import { resolvePushOptions } from './push.options.js';

const logger = new Logger('Node');

/** Beyond what a worker may take to end. */
const STOP_RESERVE_MS = 5000;

/** What serves is loaded where it is: the primary process lets others serve. */
async function start(): Promise<void> {
  if (cluster.isWorker) {
    const { startWorker, workerLogger } = await import('./app/worker.js');
    const ownLogger = workerLogger();
    Logger.overrideLogger(ownLogger);
    await startWorker(await readEnvironment(), ownLogger);
    return;
  }
  const environment = await readEnvironment();
  if (environment.workerCount > 1) process.exit(await runWorkers(environment));
  const { startNode } = await import('./app/node.js');
  await startNode(environment);
}

async function runWorkers(environment: Environment): Promise<number> {
  Logger.overrideLogger(new ConsoleLogger({ prefix: 'primary' }));
  const { Workers } = await import('./app/workers.js');
  const { drainDelayMs, drainDeadlineMs } = resolvePushOptions(pushOptionsOf(environment));
  const workers = new Workers({
    count: environment.workerCount,
    stopDeadlineMs: drainDelayMs + drainDeadlineMs + STOP_RESERVE_MS,
  });
  process.on('SIGTERM', () => workers.stop());
  process.on('SIGINT', () => workers.stop());
  // A terminal that is closed sends it too.
  process.on('SIGHUP', () => (process.stdout.isTTY ? workers.stop() : void workers.roll()));
  return workers.run();
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
