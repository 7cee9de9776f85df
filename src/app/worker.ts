import type { Server } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import { ConsoleLogger, type LoggerService } from '@nestjs/common';
import type { NestExpressApplication } from '@nestjs/platform-express';
import type { Environment } from './environment.js';
import { WorkersExposition } from './metrics/workers.exposition.js';
import { startNode } from './node.js';
import { WORKER_NUMBER, type WorkerOrder } from './worker.messages.js';

/** Whoever was accepted before has asked by then, also over TLS and from far away. */
const SETTLE_MS = 2000;

/** Writes log lines that name this worker. */
export function workerLogger(): ConsoleLogger {
  return new ConsoleLogger({ prefix: `worker ${process.env[WORKER_NUMBER] ?? ''}` });
}

/** Starts the node in a worker process. */
export async function startWorker(environment: Environment, logger: LoggerService): Promise<void> {
  // The primary process says when workers are replaced; the whole group may get the signal.
  process.on('SIGHUP', () => {});
  const [telemetryTurn, retirement] = [ordered('runTelemetry'), ordered('retire')];
  const app = await startNode(environment, {
    logger,
    telemetryTurn: () => telemetryTurn,
    expositionOf: (own) => new WorkersExposition(own, process),
  });
  await retirement;
  await retire(app);
}

function ordered(kind: WorkerOrder['kind']): Promise<void> {
  return new Promise((resolve) => {
    process.on('message', (order: WorkerOrder) => {
      if (order.kind === kind) resolve();
    });
  });
}

/** Another worker has taken over: takes no connection more, decides about those that were taken, then ends as on SIGTERM. */
async function retire(app: NestExpressApplication): Promise<void> {
  (app.getHttpServer() as Server).close();
  await sleep(SETTLE_MS);
  await app.close();
  process.exit(0);
}
