import { MeterProvider, MetricReader } from '@opentelemetry/sdk-metrics';
import type { Meter } from '../../src/index.js';

class PullReader extends MetricReader {
  protected override async onForceFlush(): Promise<void> {}
  protected override async onShutdown(): Promise<void> {}
}

export interface ProbedMetric {
  readonly unit: string;
  readonly points: readonly { readonly attributes: Readonly<Record<string, unknown>>; readonly value: unknown }[];
}

/** OpenTelemetry's SDK as an application has it, read by the test. */
export class MetricProbe {
  private readonly reader = new PullReader();
  readonly provider = new MeterProvider({ readers: [this.reader] });
  readonly meter: Meter = this.provider.getMeter('test');

  /** Everything that has a value, by name. */
  async collect(): Promise<Map<string, ProbedMetric>> {
    const { resourceMetrics, errors } = await this.reader.collect();
    if (errors.length > 0) throw errors[0];
    return new Map(
      resourceMetrics.scopeMetrics
        .flatMap(({ metrics }) => metrics)
        .map(({ descriptor, dataPoints }) => [descriptor.name, { unit: descriptor.unit, points: dataPoints }]),
    );
  }

  /** The numbers of one metric, each with its attributes as `name=value`. */
  async values(name: string): Promise<Record<string, unknown>> {
    const points = (await this.collect()).get(name)?.points ?? [];
    return Object.fromEntries(
      points.map(({ attributes, value }) => [
        Object.entries(attributes)
          .map(([attribute, of]) => `${attribute}=${String(of)}`)
          .join(),
        value,
      ]),
    );
  }
}
