import { Body, Controller, Post, Query, UseGuards } from '@nestjs/common';
import { PushService } from '../../push.service.js';
import type { Alarm, AlarmReceipt } from '../../push.types.js';
import { JsonBodyGuard } from './json-body.guard.js';
import { PublishGuard } from './publish.guard.js';
import { checkQueryNames, objectsFrom, type Query as PushQuery } from './push-query.js';

export interface AlarmsAnswer {
  /** One for each alarm, in their order. */
  readonly alarms: readonly AlarmReceipt[];
}

@Controller('push/alarms')
@UseGuards(PublishGuard, JsonBodyGuard)
export class AlarmController {
  constructor(private readonly pushService: PushService) {}

  /**
   * Pushes an alarm, or an array of them in its order, all or nothing. 201 once they are stored, with a receipt for
   * each; 400 names the field; 409 for an `eventId` that was used for other content; 413 for a body over 1 MiB or an
   * alarm over 64 KiB; 503 where the log does not confirm.
   */
  @Post()
  async push(@Body() body: unknown, @Query() query: PushQuery): Promise<AlarmsAnswer> {
    checkQueryNames(query, []);
    const alarms = objectsFrom(body) as Alarm[];
    if (Array.isArray(body)) return { alarms: await this.pushService.pushAlarms(alarms) };
    return { alarms: await Promise.all(alarms.map((alarm) => this.pushService.pushAlarm(alarm))) };
  }
}
