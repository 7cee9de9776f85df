import { Injectable, Logger } from '@nestjs/common';
import type { RawDataClient } from '../fan-out/raw-data.router.js';
import { stackOf } from '../push.causes.js';
import { type DeliveryFilter, PushOptions } from '../push.options.js';
import type { RawDatum } from '../push.types.js';
import { clientInfo } from './client.registry.js';

/** The application's delivery filter. One that throws, or whose answer is no plain true, lets nothing through and harms nobody. */
@Injectable()
export class GuardedDeliveryFilter {
  private readonly logger = new Logger(GuardedDeliveryFilter.name);
  private readonly deliveryFilter: DeliveryFilter | undefined;
  private failureCount = 0;

  constructor({ deliveryFilter }: PushOptions) {
    this.deliveryFilter = deliveryFilter;
  }

  /** How often it threw; each time a datum was not delivered to one client. */
  get failures(): number {
    return this.failureCount;
  }

  /** Who may be delivered this datum; undefined where there is no filter. */
  of(datum: RawDatum): ((client: RawDataClient) => boolean) | undefined {
    const { deliveryFilter } = this;
    if (deliveryFilter === undefined) return undefined;
    return (client) => {
      try {
        const verdict: unknown = deliveryFilter(clientInfo(client), datum);
        // An async filter is a mistake: its promise is no verdict, and its rejection would end the process.
        if (verdict instanceof Promise) verdict.catch((cause: unknown) => this.fail(cause));
        return verdict === true;
      } catch (cause) {
        this.fail(cause);
        return false;
      }
    };
  }

  /** As {@link of}, of a datum that is JSON, which is parsed only where there is a filter. */
  ofJson(json: string): ((client: RawDataClient) => boolean) | undefined {
    return this.deliveryFilter && this.of(JSON.parse(json) as RawDatum);
  }

  private fail(cause: unknown): void {
    // The first failure says what is wrong; a line for each client and datum would drown the log.
    if (this.failureCount === 0) {
      this.logger.error('the delivery filter threw, so a datum was not delivered', stackOf(cause));
    }
    this.failureCount += 1;
  }
}
