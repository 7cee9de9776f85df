import type { RawDataBus } from '../../src/bus/bus.js';
import { InProcessBus } from '../../src/bus/in-process.bus.js';
import type { LastValueStore } from '../../src/bus/last-value.store.js';
import type { FlushQueue } from '../../src/fan-out/flush-queue.js';
import { LastValues } from '../../src/fan-out/last-values.js';
import type { PushOptions } from '../../src/push.options.js';
import { RawDataCoverage } from '../../src/registry/raw-data.coverage.js';
import { RawDataRegistry } from '../../src/registry/raw-data.registry.js';

interface Backends {
  readonly bus?: RawDataBus;
  readonly store?: LastValueStore;
}

/** As the module makes them; without backends for one node alone. */
export function createRawData(
  options: PushOptions,
  flushQueue: FlushQueue,
  { bus = new InProcessBus(), store }: Backends = {},
): { registry: RawDataRegistry; coverage: RawDataCoverage; lastValues: LastValues } {
  const lastValues = new LastValues(options);
  const coverage = new RawDataCoverage(bus, store, lastValues, options);
  return { registry: new RawDataRegistry(options, flushQueue, lastValues, coverage), coverage, lastValues };
}
