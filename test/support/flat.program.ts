import { once } from 'node:events';
import type { Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { WebSocket } from 'ws';
import { ConnectionLimits } from '../../src/access/connection-limits.js';
import { AlarmRegistry, PushModule, PushService, RawDataRegistry } from '../../src/index.js';

// Connects and disconnects many clients and says, as one line of JSON, what is left of them.

const [connections = '10000'] = process.argv.slice(2);
const BATCH = 200;

@Module({ imports: [PushModule.forRoot({ alarmLogPath: '', maxUpgradesPerSecond: 100_000 })] })
class FlatModule {}

const app = await NestFactory.create(FlatModule, { logger: false });
await app.listen(0, '127.0.0.1');
const server = app.getHttpServer() as Server;
const { port } = server.address() as AddressInfo;
const push = app.get(PushService);
const rawData = app.get(RawDataRegistry);
const alarms = app.get(AlarmRegistry);

/** Every way in and out: both gateways, both wire formats, closed by either side or cut. */
async function visit(n: number): Promise<void> {
  const path = n % 3 === 0 ? '/ws/alarm' : `/ws/rowdata/type${n % 7}/id${n}/user${n % 50}`;
  const socket = new WebSocket(`ws://127.0.0.1:${port}${path}`, n % 2 === 0 ? ['push.v1'] : []);
  const closed = once(socket, 'close');
  await once(socket, 'open');
  if (n % 2 === 0) {
    socket.send(JSON.stringify({ event: 'subscribe', data: { keys: [{ businessType: 'more', businessId: `${n}` }] } }));
    await once(socket, 'message');
  }
  if (n % 5 === 0) socket.terminate();
  else socket.close();
  await closed;
}

async function visits(count: number): Promise<void> {
  for (let from = 0; from < count; from += BATCH) {
    const batch = Array.from({ length: Math.min(BATCH, count - from) }, (_, n) => visit(from + n));
    push.pushRawData({ businessType: 'type1', from });
    await push.pushAlarm({ businessId: '1', eventId: String(from) });
    await Promise.all(batch);
  }
}

const connected = () => new Promise<number>((resolve) => server.getConnections((_error, count) => resolve(count)));

async function settle(): Promise<void> {
  while (rawData.count() + alarms.count() + (await connected()) > 0) await new Promise(setImmediate);
  for (let round = 0; round < 5; round++) {
    globalThis.gc?.();
    await new Promise(setImmediate);
  }
}

function resources(): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const name of process.getActiveResourcesInfo()) counts[name] = (counts[name] ?? 0) + 1;
  return counts;
}

function measure(): { heapUsed: number; resources: Record<string, number>; listeners: number } {
  const listeners = server.eventNames().map((name) => server.listenerCount(name));
  return {
    heapUsed: process.memoryUsage().heapUsed,
    resources: resources(),
    listeners: listeners.reduce((sum, count) => sum + count, 0),
  };
}

// Code is compiled and caches are filled before the first look.
await visits(1000);
await settle();
const before = measure();
await visits(Number(connections));
await settle();
const after = measure();
const left = rawData.count() + alarms.count() + app.get(ConnectionLimits, { strict: false }).count;
const reached = push.pushRawData({ businessType: 'type1' }).matched;
process.stdout.write(`${JSON.stringify({ before, after, left, reached })}\n`);
await app.close();
