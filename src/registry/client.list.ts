import { Injectable } from '@nestjs/common';
import type { ClientCounts } from '../bus/cluster.js';
import type { KeyAddress } from '../protocol/messages.js';
import { AlarmRegistry } from './alarm.registry.js';
import type { ClientInfo } from './client.registry.js';
import { RawDataRegistry } from './raw-data.registry.js';

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

/** The clients of this node: those of the raw-data gateway first, each gateway's oldest first. */
@Injectable()
export class ClientList {
  constructor(
    private readonly rawDataRegistry: RawDataRegistry,
    private readonly alarmRegistry: AlarmRegistry,
  ) {}

  counts(): ClientCounts {
    return { rawData: this.rawDataRegistry.count(), alarms: this.alarmRegistry.count() };
  }

  page(offset: number, limit: number): ClientsPage {
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
