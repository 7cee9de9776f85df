import { Controller, Get, Header, UseGuards } from '@nestjs/common';
import { Exposition } from '../metrics/exposition.js';
import { PublishKeyGuard } from './publish-key.guard.js';

@Controller('metrics')
@UseGuards(PublishKeyGuard)
export class MetricsController {
  constructor(private readonly exposition: Exposition) {}

  /** In the text format of Prometheus, also while this node starts or shuts down. */
  @Get()
  @Header('Content-Type', 'text/plain; version=0.0.4; charset=utf-8')
  @Header('Cache-Control', 'no-store')
  scrape(): Promise<string> {
    return this.exposition.text();
  }
}
