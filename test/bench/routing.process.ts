import { randomUUID } from 'node:crypto';
import { setImmediate as nextTick } from 'node:timers/promises';
import { Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { WireFormat } from '../../src/fan-out/frame.js';
import { rawDataKey } from '../../src/fan-out/key.js';
import type { Sink } from '../../src/fan-out/sink.js';
import { PushModule, PushService, PushWsAdapter, RawDataRegistry } from '../../src/index.js';
import { collectGarbage, cpuMicros } from './clock.js';
import { BUSINESS_TYPE, createDatum, keyName } from './datum.js';
import type { RoutingApi } from './routing.api.js';
import { serveCalls } from './rpc.js';

@Module({})
class RoutingModule {}

/** Takes everything at once, and confirms nothing: the window is wide enough for the whole benchmark. */
class MemorySink implements Sink {
  readonly bufferedBytes = 0;
  writtenBytes = 0;

  writeAll(frames: readonly Buffer[]): void {
    this.write(Buffer.concat(frames));
  }

  write(frames: Buffer): void {
    this.writtenBytes += frames.length;
  }

  close(): void {}

  terminate(): void {}
}

interface Population {
  readonly pushService: PushService;
  readonly matching: number;
  readonly sinks: readonly MemorySink[];
}

const WIDE_WINDOW_BYTES = 64 * 1024 * 1024;
const populations: Population[] = [];

const api: RoutingApi = {
  async prepare({ matching, connected }) {
    const options = { inFlightBytes: WIDE_WINDOW_BYTES, maxOutboxBytes: WIDE_WINDOW_BYTES };
    const app = await NestFactory.create(
      { module: RoutingModule, imports: [PushModule.forRoot({ alarmLogPath: '', ...options })] },
      { logger: ['error', 'warn'] },
    );
    app.useWebSocketAdapter(new PushWsAdapter(app));
    await app.init();
    const registry = app.get(RawDataRegistry);
    const step = Math.floor(connected / matching);
    const sinks: MemorySink[] = [];
    for (let index = 0; index < connected; index++) {
      const isMatching = index % step === 0 && index / step < matching;
      const sink = new MemorySink();
      if (isMatching) sinks.push(sink);
      connect(registry, index, isMatching ? keyName(0) : keyName(index + 1), sink);
    }
    return populations.push({ pushService: app.get(PushService), matching, sinks }) - 1;
  },

  async measure({ population, pushes }) {
    const measured = populations[population];
    if (measured === undefined) throw new Error(`there is no population ${population}`);
    const { pushService, matching, sinks } = measured;
    collectGarbage();
    const writtenBefore = sinks.map(({ writtenBytes }) => writtenBytes);
    const begun = cpuMicros();
    for (let n = 0; n < pushes; n++) {
      const datum = createDatum('short', { key: 0, series: n % 100, n, atMicros: 0 });
      const { matched } = pushService.pushRawData(datum);
      if (matched !== matching) throw new Error(`${matched} clients matched instead of ${matching}`);
      await nextTick();
    }
    const micros = cpuMicros() - begun;
    const isComplete = sinks.every(({ writtenBytes }, i) => writtenBytes - (writtenBefore[i] ?? 0) >= pushes * 200);
    if (!isComplete) throw new Error('not everything that was pushed was written');
    return micros / pushes;
  },
};

function connect(registry: RawDataRegistry, index: number, businessId: string, sink: Sink): void {
  const clientId = randomUUID();
  const userName = `user${index}`;
  const client = registry.createClient(
    {
      clientId,
      key: rawDataKey(BUSINESS_TYPE, businessId, userName, clientId),
      userName,
      remoteAddress: '127.0.0.1',
      format: WireFormat.plain,
    },
    sink,
    { businessType: BUSINESS_TYPE, businessId },
    undefined,
  );
  registry.register(client, () => {});
}

serveCalls(api);
