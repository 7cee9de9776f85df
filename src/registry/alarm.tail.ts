import { Inject, Injectable, Logger, type OnApplicationBootstrap, type OnApplicationShutdown } from '@nestjs/common';
import { ALARM_LOG, type AlarmEntry, type AlarmLog } from '../alarm-log/alarm-log.js';
import { AlarmPages } from './alarm.pages.js';
import { AlarmRegistry } from './alarm.registry.js';
import { FaultReporter } from './fault.reporter.js';

const PAGE_ALARMS = 200;
const READ_AGAIN_AFTER_MS = 1000;

/**
 * Follows the alarm log and routes in its order, whoever appended. The log is the only source of the order of alarms,
 * so what this node pushes takes this way too.
 */
@Injectable()
export class AlarmTail implements OnApplicationBootstrap, OnApplicationShutdown {
  private readonly logger = new Logger(AlarmTail.name);
  private readonly faults = new FaultReporter(this.logger);
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
    if (this.log.bounds().epoch !== this.pages.epoch) this.beginAnew();
    this.isBehind = true;
    if (!this.isReading) void this.readOn();
  }

  private beginAnew(): void {
    this.logger.warn(
      `the alarm log has begun anew, what it has lost is told to every client: ${this.pages.headCursor}`,
    );
    this.pages.open();
    this.registry.beginAnew();
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
        while (await this.readPage());
      }
    } catch (cause) {
      this.faults.failed('read the alarm log', cause);
      if (this.stopListening !== undefined) this.retry ??= setTimeout(() => this.readAgain(), READ_AGAIN_AFTER_MS);
    } finally {
      this.isReading = false;
    }
  }

  /** False: there was nothing more. */
  private async readPage(): Promise<boolean> {
    const { epoch, head } = this.pages;
    const { newest } = this.log.bounds();
    const page = await this.log.read(head, PAGE_ALARMS);
    this.faults.succeeded('read the alarm log');
    if (epoch !== this.pages.epoch) return true;
    for (const entry of page) this.route(entry);
    if (page.length === 0 && newest > head) {
      this.registry.fallBehind();
      this.pages.skipTo(newest);
    }
    return page.length > 0;
  }

  private route(entry: AlarmEntry): void {
    // Alarms are missing, as where the retention was faster than this: whoever was at the head reads on there, and is told.
    if (entry.offset > this.pages.head + 1) this.registry.fallBehind();
    this.registry.route(this.pages.advance(entry));
  }
}
