import type { Server } from 'node:http';
import type { Socket } from 'node:net';
import { promisify } from 'node:util';
import { Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { NodeMetrics } from '../../../src/app/metrics/node.metrics.js';
import { type Meter, PushModule, PushService, PushWsAdapter, RawDataRegistry } from '../../../src/index.js';
import type { StartServer } from './bench.server.js';
import { portOf } from './listen.js';

@Module({})
class BenchModule {}

/** The gateway in a Nest application on Express, as an application team runs it. */
export const startOurs: StartServer = async ({ options = {}, redisUrl, isMeasured = false }) => {
  const limits = { maxConnections: 20_000, maxConnectionsPerIp: 20_000 };
  const meter = isMeasured ? scrapedMeter() : undefined;
  const app = await NestFactory.create(
    {
      module: BenchModule,
      imports: [PushModule.forRoot({ alarmLogPath: '', redisUrl, meter, ...limits, ...options })],
    },
    { logger: ['error', 'warn'] },
  );
  app.useWebSocketAdapter(new PushWsAdapter(app));
  await app.listen(0, '127.0.0.1');
  const httpServer = app.getHttpServer() as Server;
  const pushService = app.get(PushService);
  const registry = app.get(RawDataRegistry);
  return {
    port: portOf(httpServer),
    push: (datum) => pushService.pushRawData(datum).matched,
    clientCount: () => registry.count(),
    socketCount: promisify(httpServer.getConnections.bind(httpServer)),
    countReceived: () => countReceived(httpServer),
    alarms: {
      push: async (alarm) => void (await pushService.pushAlarm(alarm)),
      pushAll: async (alarms) => void (await pushService.pushAlarms(alarms)),
    },
    maxInFlightBytes: () => registry.clients().reduce((most, { inFlightBytes }) => Math.max(most, inFlightBytes), 0),
  };
};

/** Far more often than Prometheus asks. */
const SCRAPE_INTERVAL_MS = 1000;

function scrapedMeter(): Meter {
  const metrics = new NodeMetrics();
  setInterval(() => void metrics.text(), SCRAPE_INTERVAL_MS).unref();
  return metrics.meter;
}

function countReceived(server: Server): () => number {
  const open = new Set<Socket>();
  let ofClosed = 0;
  server.on('connection', (socket: Socket) => {
    open.add(socket);
    socket.on('close', () => {
      open.delete(socket);
      ofClosed += socket.bytesRead;
    });
  });
  return () => [...open].reduce((sum, { bytesRead }) => sum + bytesRead, ofClosed);
}
