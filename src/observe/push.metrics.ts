import { Injectable, type OnApplicationBootstrap, type OnApplicationShutdown } from '@nestjs/common';
import type { FlushListener } from '../fan-out/flush-queue.js';
import type { WriteTotals } from '../fan-out/write-totals.js';
import type { LoopDelays } from './loop.delay.js';
import {
  type Attributes,
  type BatchResult,
  globalMeter,
  type Histogram,
  type InstrumentOptions,
  type Meter,
  type ObservableInstrument,
} from './meter.js';
import {
  CLOSE_CODE,
  DURATION_METRICS,
  type DurationMetric,
  ERROR_TYPE,
  GATEWAY,
  LANE,
  OBSERVED_METRICS,
  type ObservedMetric,
  REFUSAL_REASON,
} from './metric.definitions.js';
import { closeCodeLabel, countsByLabel, errorLabel, refusalLabel } from './metric.labels.js';

/** One gateway's clients, with what has been added up of them. */
export interface MeasuredGateway {
  count(): number;
  all(): Iterable<{ readonly inFlightBytes: number; readonly outboxBytes: number; readonly behindBy: number }>;
  readonly totals: WriteTotals;
  readonly closeCounts: ReadonlyMap<number, number>;
}

/** Where the numbers come from: fields that the hot path adds to, and that are read when metrics are collected. */
export interface MetricSources {
  readonly rawData: MeasuredGateway & { readonly matches: number; readonly filterFailures: number };
  readonly alarms: MeasuredGateway;
  readonly push: {
    readonly pushed: { readonly rawData: number; readonly alarms: number };
    onAppended: ((durationMs: number, failure: unknown) => void) | undefined;
  };
  readonly flushQueue: { observe(listener: FlushListener): void };
  readonly audit: { readonly refusalCounts: ReadonlyMap<string, number> };
  readonly health: { readonly isReady: boolean };
  readonly alarmLog: { readonly fault: string | undefined };
  readonly bus: MeasuredBus;
  readonly cluster: MeasuredCluster;
  readonly loop: { readonly delays: LoopDelays };
}

export interface MeasuredBus {
  readonly fault: string | undefined;
  /** Undefined: there are no other nodes. */
  readonly counts:
    | { readonly sent: number; readonly received: number; readonly conflated: number; readonly dropped: number }
    | undefined;
}

export interface MeasuredCluster {
  readonly fault: string | undefined;
  /** Undefined: there are no other nodes. */
  readonly untoldCount: number | undefined;
}

type Observe = (metric: ObservedMetric, value: number, attributes?: Attributes) => void;

/** From a tenth of a millisecond, which a flush to a few clients takes, to the deadline of the alarm log. */
const BOUNDARIES_S = [0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5];

const OF_RAW_DATA = { [GATEWAY]: 'rawData' };
const OF_ALARMS = { [GATEWAY]: 'alarm' };
const OF_LANE = { alarms: { [LANE]: 'alarms' }, rawData: { [LANE]: 'rawData' }, catchUp: { [LANE]: 'catchUp' } };

/** Hands what this node counts to OpenTelemetry; without an SDK of the application nobody ever asks for it. */
@Injectable()
export class PushMetrics implements OnApplicationBootstrap, OnApplicationShutdown {
  private stop: (() => void) | undefined;

  constructor(
    private readonly sources: MetricSources,
    /** Undefined: the application's global one. */
    private readonly meter: Meter | undefined,
  ) {}

  async onApplicationBootstrap(): Promise<void> {
    const meter = this.meter ?? (await globalMeter());
    if (meter === undefined) return;
    this.watchDurations(createHistogram(meter, 'flushDuration'), createHistogram(meter, 'appendDuration'));
    const instruments = createObserved(meter);
    const collect = (result: BatchResult) =>
      this.collect((metric, value, attributes) => result.observe(instruments[metric], value, attributes));
    const all = Object.values(instruments);
    meter.addBatchObservableCallback(collect, all);
    this.stop = () => meter.removeBatchObservableCallback(collect, all);
  }

  /** A meter outlives the application. */
  onApplicationShutdown(): void {
    this.stop?.();
  }

  private watchDurations(flush: Histogram, append: Histogram): void {
    const { flushQueue, push } = this.sources;
    flushQueue.observe((lane, durationMs) => flush.record(durationMs / 1000, OF_LANE[lane]));
    push.onAppended = (durationMs, failure) =>
      append.record(durationMs / 1000, failure === undefined ? {} : { [ERROR_TYPE]: errorLabel(failure) });
  }

  private collect(observe: Observe): void {
    const { rawData, alarms, push, audit, health, alarmLog, loop } = this.sources;
    observe('ready', health.isReady ? 1 : 0);
    observeGateway(observe, rawData, OF_RAW_DATA);
    observeLag(observe, observeGateway(observe, alarms, OF_ALARMS));
    observe('pushes', push.pushed.rawData, OF_RAW_DATA);
    observe('pushes', push.pushed.alarms, OF_ALARMS);
    observe('matches', rawData.matches);
    observe('filterFailures', rawData.filterFailures);
    observe('conflations', rawData.totals.conflated);
    for (const [reason, count] of countsByLabel(audit.refusalCounts, refusalLabel)) {
      observe('refusals', count, { [REFUSAL_REASON]: reason });
    }
    observe('alarmLogUp', alarmLog.fault === undefined ? 1 : 0);
    this.collectBus(observe);
    this.collectCluster(observe);
    observe('loopDelayP99', loop.delays.p99Ms / 1000);
    observe('loopDelayMax', loop.delays.maxMs / 1000);
  }

  private collectBus(observe: Observe): void {
    const { fault, counts } = this.sources.bus;
    if (counts === undefined) return;
    const { sent, received, conflated, dropped } = counts;
    observe('busUp', fault === undefined ? 1 : 0);
    observe('busSent', sent);
    observe('busReceived', received);
    observe('busConflations', conflated);
    observe('busDropped', dropped);
  }

  private collectCluster(observe: Observe): void {
    const { fault, untoldCount } = this.sources.cluster;
    if (untoldCount === undefined) return;
    observe('clusterUp', fault === undefined ? 1 : 0);
    observe('clusterUntold', untoldCount);
  }
}

interface Lag {
  readonly most: number;
  readonly connections: number;
}

function observeGateway(observe: Observe, gateway: MeasuredGateway, attributes: Attributes): Lag {
  let inFlightBytes = 0;
  let outboxBytes = 0;
  let most = 0;
  let connections = 0;
  for (const client of gateway.all()) {
    inFlightBytes += client.inFlightBytes;
    outboxBytes += client.outboxBytes;
    if (client.behindBy > 0) connections += 1;
    most = Math.max(most, client.behindBy);
  }
  observe('connections', gateway.count(), attributes);
  observe('inFlight', inFlightBytes, attributes);
  observe('outbox', outboxBytes, attributes);
  observe('deliveries', gateway.totals.messages, attributes);
  observe('written', gateway.totals.bytes, attributes);
  for (const [code, count] of countsByLabel(gateway.closeCounts, closeCodeLabel)) {
    observe('disconnections', count, { ...attributes, [CLOSE_CODE]: code });
  }
  return { most, connections };
}

function observeLag(observe: Observe, { most, connections }: Lag): void {
  observe('alarmLag', most);
  observe('alarmLagging', connections);
}

function createHistogram(meter: Meter, metric: DurationMetric): Histogram {
  const { name, description, unit } = DURATION_METRICS[metric];
  return meter.createHistogram(name, { description, unit, advice: { explicitBucketBoundaries: BOUNDARIES_S } });
}

function createObserved(meter: Meter): Record<ObservedMetric, ObservableInstrument> {
  const entries = Object.entries(OBSERVED_METRICS).map(([metric, definition]) => [metric, create(meter, definition)]);
  return Object.fromEntries(entries) as Record<ObservedMetric, ObservableInstrument>;
}

function create(
  meter: Meter,
  { name, kind, unit, description }: (typeof OBSERVED_METRICS)[ObservedMetric],
): ObservableInstrument {
  const options: InstrumentOptions = { unit, description };
  switch (kind) {
    case 'counter':
      return meter.createObservableCounter(name, options);
    case 'upDownCounter':
      return meter.createObservableUpDownCounter(name, options);
    case 'gauge':
      return meter.createObservableGauge(name, options);
    default:
      return kind satisfies never;
  }
}
