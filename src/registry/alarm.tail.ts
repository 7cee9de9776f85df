import { Inject, Injectable, Logger, type OnApplicationBootstrap, type OnModuleDestroy } from '@nestjs/common';
import { ALARM_LOG, type AlarmEntry, type AlarmLog } from '../alarm-log/alarm-log.js';
import { formatCursor } from '../alarm-log/cursor.js';
import { AlarmRegistry } from './alarm.registry.js';

const PAGE_ALARMS = 200;

/**
 * Follows the alarm log and routes in its order, whoever appended. The log is the only source of the order of alarms,
 * so what this node pushes takes this way too.
 */
@Injectable()
export class AlarmTail implements OnApplicationBootstrap, OnModuleDestroy {
  private readonly logger = new Logger(AlarmTail.name);
  /** Offset of the last alarm that was routed. */
  private position = 0;
  private isReading = false;
  private isBehind = false;
  private stopListening: (() => void) | undefined;

  constructor(
    @Inject(ALARM_LOG) private readonly log: AlarmLog,
    private readonly registry: AlarmRegistry,
  ) {}

  /** The place up to which clients at the head have been offered everything. */
  get cursor(): string {
    return formatCursor({ epoch: this.log.bounds().epoch, offset: this.position });
  }

  onApplicationBootstrap(): void {
    this.position = this.log.bounds().newest;
    this.stopListening = this.log.onAppended(() => this.follow());
  }

  onModuleDestroy(): void {
    this.stopListening?.();
  }

  private follow(): void {
    this.isBehind = true;
    if (!this.isReading) void this.readOn();
  }

  /** Ends in the same step as it finds nothing more, so no append falls between. */
  private async readOn(): Promise<void> {
    this.isReading = true;
    try {
      while (this.isBehind) {
        this.isBehind = false;
        let page: AlarmEntry[];
        do {
          page = await this.log.read(this.position, PAGE_ALARMS);
          for (const entry of page) this.route(entry);
        } while (page.length === PAGE_ALARMS);
      }
    } catch (cause) {
      this.logger.error('cannot read the alarm log', cause instanceof Error ? cause.stack : String(cause));
    } finally {
      this.isReading = false;
    }
  }

  private route({ offset, json, fields }: AlarmEntry): void {
    const cursor = formatCursor({ epoch: this.log.bounds().epoch, offset });
    this.registry.route(fields, this.registry.frame(cursor, json));
    this.position = offset;
  }
}
