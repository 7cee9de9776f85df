import { Body, Controller, HttpCode, Post, Query, UseGuards } from '@nestjs/common';
import { PushService } from '../../push.service.js';
import type { RawDatum } from '../../push.types.js';
import { JsonBodyGuard } from './json-body.guard.js';
import { PublishGuard } from './publish.guard.js';
import { objectsFrom, pushOptionsFrom, type Query as PushQuery } from './push-query.js';

export interface RawDataAnswer {
  /** How many data were pushed: 1, or the length of the array. */
  readonly accepted: number;
  /** Clients of this node that they matched; of an array the sum. */
  readonly matched: number;
}

@Controller('push/raw-data')
@UseGuards(PublishGuard, JsonBodyGuard)
export class RawDataController {
  constructor(private readonly pushService: PushService) {}

  /**
   * Pushes a raw datum, or an array of them in its order, all or nothing. `?to.businessType=`, `to.businessId=`,
   * `to.userName=` and `to.clientId=` replace the address of each datum and are ANDed; `?except=` leaves a client out.
   * 202; 400 names the field; 413 for a body, or a datum, over 1 MiB.
   */
  @Post()
  @HttpCode(202)
  push(@Body() body: unknown, @Query() query: PushQuery): RawDataAnswer {
    const options = pushOptionsFrom(query);
    const data = objectsFrom(body) as RawDatum[];
    const [first] = data;
    const { matched } =
      !Array.isArray(body) && first !== undefined
        ? this.pushService.pushRawData(first, options)
        : this.pushService.pushRawDataAll(data, options);
    return { accepted: data.length, matched };
  }
}
