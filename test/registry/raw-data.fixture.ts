import type { RawDataBus } from '../../src/bus/bus.js';
import { InProcessBus } from '../../src/bus/in-process.bus.js';
import type { LastValueStore } from '../../src/bus/last-value.store.js';
import type { FlushQueue } from '../../src/fan-out/flush-queue.js';
import { LastValues } from '../../src/fan-out/last-values.js';
import { RawDataRouter } from '../../src/fan-out/raw-data.router.js';
import type { PushOptions } from '../../src/push.options.js';
import { RawDataCoverage } from '../../src/registry/raw-data.coverage.js';
import { GuardedDeliveryFilter } from '../../src/registry/guarded.delivery-filter.js';
import { RawDataRegistry } from '../../src/registry/raw-data.registry.js';
import { RawDataSubscriptions } from '../../src/registry/raw-data.subscriptions.js';

interface Backends {
  readonly bus?: RawDataBus;
  readonly store?: LastValueStore;
}

/** What the registry of raw data is made of, and who else shares it. */
export interface RawDataParts {
  readonly lastValues: LastValues;
  readonly coverage: RawDataCoverage;
  readonly router: RawDataRouter;
  readonly deliveryFilter: GuardedDeliveryFilter;
}

/** As the module makes them; without backends for one node alone. */
export function createRawDataParts(
  options: PushOptions,
  { bus = new InProcessBus(), store }: Backends = {},
): RawDataParts {
  const lastValues = new LastValues(options);
  const coverage = new RawDataCoverage(bus, store, lastValues, options);
  const deliveryFilter = new GuardedDeliveryFilter(options);
  return { lastValues, coverage, router: new RawDataRouter(coverage), deliveryFilter };
}

/** In the order of the constructor's parameters. */
export function registryParameters(
  options: PushOptions,
  flushQueue: FlushQueue,
  { lastValues, router, deliveryFilter, coverage }: RawDataParts,
): ConstructorParameters<typeof RawDataRegistry> {
  return [options, flushQueue, lastValues, router, deliveryFilter, coverage];
}

export function createRawData(
  options: PushOptions,
  flushQueue: FlushQueue,
  backends?: Backends,
): RawDataParts & { registry: RawDataRegistry; subscriptions: RawDataSubscriptions } {
  const parts = createRawDataParts(options, backends);
  const { router, lastValues, deliveryFilter } = parts;
  return {
    ...parts,
    registry: new RawDataRegistry(...registryParameters(options, flushQueue, parts)),
    subscriptions: new RawDataSubscriptions(options, router, lastValues, deliveryFilter),
  };
}
