import type { Logger } from '@nestjs/common';
import { stackOf } from '../push.causes.js';

/** Says what fails, and then no more until it has succeeded: what is tried again every second would fill the log. */
export class FaultReporter {
  private readonly failing = new Set<string>();

  constructor(private readonly logger: Logger) {}

  /** `what` is a verb and its object: `read the alarm log`. */
  failed(what: string, cause: unknown): void {
    if (this.failing.has(what)) return;
    this.failing.add(what);
    this.logger.error(`cannot ${what}`, stackOf(cause));
  }

  succeeded(what: string): void {
    if (this.failing.delete(what)) this.logger.log(`can ${what} again`);
  }
}
