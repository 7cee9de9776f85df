import { Controller, Get, Header, Query, UseGuards } from '@nestjs/common';
import { InvalidPushError } from '../../push.errors.js';
import type { KeyAddress } from '../../protocol/messages.js';
import { AlarmRegistry } from '../../registry/alarm.registry.js';
import type { ClientInfo } from '../../registry/client.registry.js';
import { RawDataRegistry } from '../../registry/raw-data.registry.js';
import { PublishGuard } from './publish.guard.js';
import { checkQueryNames, type Query as PageQuery } from './push-query.js';

const DEFAULT_LIMIT = 100;
const MAX_LIMIT = 1000;
/** A client may have 1,000 subscriptions: all of them on one page would be tens of megabytes. */
const MAX_LISTED_SUBSCRIPTIONS = 20;

export type ListedClient = ClientInfo & {
  readonly gateway: 'rawData' | 'alarm';
  /** Of the raw-data gateway: the first 20 keys that the client is subscribed to. */
  readonly subscriptions?: readonly KeyAddress[];
};

export interface ClientsPage {
  /** Clients of this node, on all pages. */
  readonly total: number;
  readonly clients: readonly ListedClient[];
}

@Controller('push/clients')
@UseGuards(PublishGuard)
export class ClientsController {
  constructor(
    private readonly rawDataRegistry: RawDataRegistry,
    private readonly alarmRegistry: AlarmRegistry,
  ) {}

  /**
   * The clients of this node, those of the raw-data gateway first, each gateway's oldest first. `?limit=` 1 to 1000,
   * 100 by default, and `?offset=`. Clients that leave between two pages move the rest up.
   */
  @Get()
  @Header('Cache-Control', 'no-store')
  list(@Query() query: PageQuery): ClientsPage {
    checkQueryNames(query, ['limit', 'offset']);
    const limit = numberFrom(query, 'limit', DEFAULT_LIMIT, 1, MAX_LIMIT);
    const offset = numberFrom(query, 'offset', 0, 0, Number.MAX_SAFE_INTEGER);
    const rawData = this.rawDataRegistry.clients();
    const alarms = this.alarmRegistry.clients();
    const clients = [
      ...rawData.slice(offset, offset + limit).map((client) => this.rawDataClient(client)),
      ...alarms
        .slice(Math.max(0, offset - rawData.length), Math.max(0, offset + limit - rawData.length))
        .map((client): ListedClient => ({ gateway: 'alarm', ...client })),
    ];
    return { total: rawData.length + alarms.length, clients };
  }

  private rawDataClient(client: ClientInfo): ListedClient {
    const subscriptions = this.rawDataRegistry.subscriptions(client.clientId).slice(0, MAX_LISTED_SUBSCRIPTIONS);
    return { gateway: 'rawData', ...client, subscriptions };
  }
}

function numberFrom(query: PageQuery, name: string, fallback: number, min: number, max: number): number {
  const text = query[name];
  if (text === undefined) return fallback;
  const value = typeof text === 'string' && /^\d{1,16}$/.test(text) ? Number(text) : Number.NaN;
  if (value >= min && value <= max) return value;
  throw new InvalidPushError(name, `must be a whole number from ${min} to ${max}`);
}
