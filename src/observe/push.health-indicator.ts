import { Injectable } from '@nestjs/common';
import { type HealthIndicatorResult, HealthIndicatorService } from '@nestjs/terminus';
import { NodeHealth } from './node.health.js';

/**
 * The gateway in the health checks of `@nestjs/terminus`: `up` while the node is ready, `down` while it is not, and
 * `degraded` where something is at fault that `readinessChecks` does not name (with version 11, which has no such word, `up`).
 *
 * `health.check([() => pushHealthIndicator.isHealthy('push')])`
 */
@Injectable()
export class PushHealthIndicator {
  constructor(
    private readonly indicators: HealthIndicatorService,
    private readonly health: NodeHealth,
  ) {}

  isHealthy<const Key extends string = 'push'>(key: Key = 'push' as Key): HealthIndicatorResult<Key> {
    const indicator = this.indicators.check(key);
    const { isReady, ...report } = this.health.report();
    if (!isReady) return indicator.down(report);
    // @nestjs/terminus 11 does not know it.
    const isTold = this.health.hasFault && 'degraded' in indicator;
    return isTold ? indicator.degraded(report) : indicator.up(report);
  }
}
