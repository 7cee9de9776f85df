/** Attributes of a measurement. */
export interface Attributes {
  readonly [name: string]: string | number;
}

export interface Histogram {
  record(value: number, attributes?: Attributes): void;
}

/** An instrument that is asked when metrics are collected. */
export interface ObservableInstrument {
  addCallback(callback: never): void;
}

export interface BatchResult {
  observe(instrument: ObservableInstrument, value: number, attributes?: Attributes): void;
}

export interface InstrumentOptions {
  description?: string;
  unit?: string;
  advice?: { explicitBucketBoundaries?: number[] };
}

/**
 * What is used of the `Meter` of `@opentelemetry/api`, whose own type fits: spelled out here, since that package is an
 * optional peer, for the compiler too.
 */
export interface Meter {
  createHistogram(name: string, options: InstrumentOptions): Histogram;
  createObservableCounter(name: string, options: InstrumentOptions): ObservableInstrument;
  createObservableUpDownCounter(name: string, options: InstrumentOptions): ObservableInstrument;
  createObservableGauge(name: string, options: InstrumentOptions): ObservableInstrument;
  addBatchObservableCallback(callback: (result: BatchResult) => void, instruments: ObservableInstrument[]): void;
  removeBatchObservableCallback(callback: (result: BatchResult) => void, instruments: ObservableInstrument[]): void;
}

const SCOPE = 'nestjs-push-gateway';

/** Of the meter provider that the application has registered; undefined where it has no `@opentelemetry/api`. */
export async function globalMeter(): Promise<Meter | undefined> {
  try {
    const { metrics } = await import('@opentelemetry/api');
    return metrics.getMeter(SCOPE);
  } catch (cause) {
    if (isMissing(cause)) return undefined;
    throw cause;
  }
}

/** As Node says it of an ES module, and as bundlers and jest do; jest's own errors are of another realm, and no `Error` here. */
function isMissing(cause: unknown): boolean {
  const code = typeof cause === 'object' && cause !== null && 'code' in cause ? cause.code : undefined;
  return code === 'ERR_MODULE_NOT_FOUND' || code === 'MODULE_NOT_FOUND';
}
