import type { IncomingMessage, ServerResponse } from 'node:http';
import { Body, Controller, Header, HttpException, Post, Req, Res, UseGuards } from '@nestjs/common';
import { type TicketAnswer, TicketOffice } from '../../gateway/ticket.office.js';
import { InvalidPushError } from '../../push.errors.js';
import { JsonBodyGuard } from './json-body.guard.js';

export interface TicketRequest {
  /** As it will be connected to, without query. */
  readonly path: string;
}

@Controller('push/tickets')
@UseGuards(JsonBodyGuard)
export class TicketController {
  constructor(private readonly ticketOffice: TicketOffice) {}

  /**
   * A one-time ticket for `{ "path" }`, for the user of the token in `Authorization: Bearer`; it is good for 30 s and goes
   * into the path's query as `ticket`. Answers what connecting to the path would be answered where that is refused.
   */
  @Post()
  @Header('Cache-Control', 'no-store')
  async issue(
    @Req() request: IncomingMessage,
    @Res({ passthrough: true }) response: ServerResponse,
    @Body() body: unknown,
  ): Promise<TicketAnswer> {
    const path =
      typeof body === 'object' && body !== null
        ? (body as Partial<Record<keyof TicketRequest, unknown>>).path
        : undefined;
    if (typeof path !== 'string') throw new InvalidPushError('path', 'must be the path that will be connected to');
    const answer = await this.ticketOffice.issue(request, path);
    if ('ticket' in answer) return answer;
    const { status: statusCode, error, message, headers = {} } = answer;
    for (const [name, value] of Object.entries(headers)) response.setHeader(name, value);
    throw new HttpException({ statusCode, error, message }, statusCode);
  }
}
