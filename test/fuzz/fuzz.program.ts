import type { Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { AlarmRegistry, PushModule, PushService, RawDataRegistry } from '../../src/index.js';
import { Random, testSeed } from '../support/random.js';
import { runPureCases } from './pure.cases.js';
import { runSocketCases } from './socket.cases.js';

// Hostile requests, frames and messages, a million or as many as the argument says; TEST_SEED repeats a run. One in fifty
// is sent to a gateway over a socket, the others go straight to the functions that look at them.

const [given = '1000000'] = process.argv.slice(2);
const cases = Number(given);
const socketCases = Math.ceil(cases / 50);
const startMs = performance.now();

function say(text: string): void {
  process.stdout.write(`${((performance.now() - startMs) / 1000).toFixed(1).padStart(7)} s  ${text}\n`);
}

@Module({
  imports: [
    PushModule.forRoot({ alarmLogPath: '', maxUpgradesPerSecond: 1_000_000, compression: {}, drainDeadlineMs: 1000 }),
  ],
})
class FuzzModule {}

const random = new Random(testSeed());
say(`TEST_SEED=${random.seed}`);
for (const event of ['uncaughtException', 'unhandledRejection'] as const) {
  process.on(event, (cause: unknown) => {
    process.stderr.write(`${event} with TEST_SEED=${random.seed}: ${String(cause)}\n`);
    process.exit(1);
  });
}

const pure = runPureCases(random, cases - socketCases, (done) => {
  if (done % 50_000 === 0) say(`${done} of ${cases - socketCases} without a socket`);
});
say(JSON.stringify(pure));

const app = await NestFactory.create(FuzzModule, { logger: false });
await app.listen(0, '127.0.0.1');
const { port } = (app.getHttpServer() as Server).address() as AddressInfo;
const push = app.get(PushService);
const target = { port, pushRawData: (datum: Parameters<typeof push.pushRawData>[0]) => push.pushRawData(datum) };
const overSockets = await runSocketCases(random, socketCases, target, (done) =>
  say(`${done} of ${socketCases} over sockets`),
);
say(JSON.stringify(overSockets));
const deadlineMs = performance.now() + 5000;
while (app.get(RawDataRegistry).count() + app.get(AlarmRegistry).count() > 0) {
  if (performance.now() > deadlineMs) throw new Error('somebody is left');
  await new Promise(setImmediate);
}
await app.close();
say(`${cases} cases, and every promise was kept`);
