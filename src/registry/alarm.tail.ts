import { Inject, Injectable, Logger, type OnApplicationBootstrap, type OnApplicationShutdown } from '@nestjs/common';
import { ALARM_LOG, type AlarmEntry, type AlarmLog } from '../alarm-log/alarm-log.js';
import { AlarmPages } from './alarm.pages.js';
import { AlarmRegistry } from './alarm.registry.js';

const PAGE_ALARMS = 200;
const READ_AGAIN_AFTER_MS = 1000;

/**
 * Follows the alarm log and routes in its order, whoever appended. The log is the only source of the order of alarms,
 * so what this node pushes takes this way too.
 */
@Injectable()
export class AlarmTail implements OnApplicationBootstrap, OnApplicationShutdown {
  private readonly logger = new Logger(AlarmTail.name);
  private isReading = false;
  private isBehind = false;
  private retry: NodeJS.Timeout | undefined;
  private stopListening: (() => void) | undefined;

  constructor(
    @Inject(ALARM_LOG) private readonly log: AlarmLog,
    private readonly pages: AlarmPages,
    private readonly registry: AlarmRegistry,
  ) {}

  onApplicationBootstrap(): void {
    this.pages.open();
    this.stopListening = this.log.onAppended(() => this.follow());
  }

  onApplicationShutdown(): void {
    this.stopListening?.();
    this.stopListening = undefined;
    clearTimeout(this.retry);
    this.pages.close();
  }

  private follow(): void {
    this.isBehind = true;
    if (!this.isReading) void this.readOn();
  }

  private readAgain(): void {
    this.retry = undefined;
    this.follow();
  }

  /** Ends in the same step as it finds nothing more, so no append falls between. */
  private async readOn(): Promise<void> {
    this.isReading = true;
    try {
      while (this.isBehind) {
        this.isBehind = false;
        let page: AlarmEntry[];
        do {
          page = await this.log.read(this.pages.head, PAGE_ALARMS);
          const [first] = page;
          // The retention was faster than this: whoever was at the head has to be told.
          if (first !== undefined && first.offset > this.pages.head + 1) this.registry.fallBehind();
          for (const entry of page) this.registry.route(this.pages.advance(entry));
        } while (page.length > 0);
      }
    } catch (cause) {
      this.logger.error('cannot read the alarm log', cause instanceof Error ? cause.stack : String(cause));
      if (this.stopListening !== undefined) this.retry ??= setTimeout(() => this.readAgain(), READ_AGAIN_AFTER_MS);
    } finally {
      this.isReading = false;
    }
  }
}
