import { PrometheusSerializer } from '@opentelemetry/exporter-prometheus';
import { MeterProvider, MetricReader } from '@opentelemetry/sdk-metrics';
import type { Meter } from '../../observe/meter.js';
import { Exposition } from './exposition.js';
import { watchProcess } from './process.metrics.js';

/** Asked for by each scrape, and by nothing else. */
class ScrapedReader extends MetricReader {
  protected override async onForceFlush(): Promise<void> {}
  protected override async onShutdown(): Promise<void> {}
}

/** OpenTelemetry's SDK as the node has it: what the gateways and the process tell, in the text format of Prometheus. */
export class NodeMetrics extends Exposition {
  private readonly reader = new ScrapedReader();
  private readonly provider = new MeterProvider({ readers: [this.reader] });
  // Without a prefix, time stamps, constant labels, the target's info and the scope's: a scraper adds its own.
  private readonly serializer = new PrometheusSerializer('', false, undefined, true, true);

  constructor() {
    super();
    watchProcess(this.provider.getMeter('process'));
  }

  /** What the gateways' metrics go to. */
  get meter(): Meter {
    return this.provider.getMeter('nestjs-push-gateway');
  }

  async text(): Promise<string> {
    const { resourceMetrics, errors } = await this.reader.collect();
    if (errors.length > 0) throw new AggregateError(errors, 'some metrics could not be read');
    return this.serializer.serialize(resourceMetrics);
  }
}
