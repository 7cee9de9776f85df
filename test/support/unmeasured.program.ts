import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import type { Server } from 'node:http';
import { register } from 'node:module';
import { Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { WebSocket } from 'ws';

// An application without an SDK for metrics, and where OPENTELEMETRY_API is `missing` without that package, which is as if
// it had not been installed. Prints whether it could be loaded, and what a client was sent.

if (process.env['OPENTELEMETRY_API'] === 'missing') {
  const hooks = `export async function resolve(specifier, context, next) {
    if (!specifier.startsWith('@opentelemetry/')) return next(specifier, context);
    throw Object.assign(new Error('Cannot find package ' + specifier), { code: 'ERR_MODULE_NOT_FOUND' });
  }`;
  register(`data:text/javascript,${encodeURIComponent(hooks)}`);
}

const { PushModule, PushService } = await import('../../src/index.js');

@Module({ imports: [PushModule.forRoot({ alarmLogPath: '' })] })
class UnmeasuredModule {}

const app = await NestFactory.create(UnmeasuredModule, { logger: false });
await app.listen(0, '127.0.0.1');
const { port } = (app.getHttpServer() as Server).address() as AddressInfo;
const socket = new WebSocket(`ws://127.0.0.1:${port}/ws/rowdata/dev/1/ann`);
await once(socket, 'open');
const message = once(socket, 'message');
app.get(PushService).pushRawData({ businessType: 'dev', n: 1 });
const [text] = (await message) as [Buffer];
await app.get(PushService).pushAlarm({ businessId: '1' });
const loaded = await import('@opentelemetry/api').then(
  () => 'present',
  () => 'missing',
);
process.stdout.write(`${loaded} ${text.toString()}\n`);
await app.close();
