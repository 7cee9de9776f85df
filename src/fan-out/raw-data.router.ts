import type { KeyAddress } from '../protocol/messages.js';
import { Client, type ClientIdentity, type ClientOptions } from './client.js';
import type { Frame } from './frame.js';
import { KeyIndex } from './key-index.js';
import type { KeyScope } from './key-scope.js';
import type { Sink } from './sink.js';

/** A connection of the raw-data gateway. */
export class RawDataClient extends Client {
  constructor(
    identity: ClientIdentity,
    sink: Sink,
    options: ClientOptions,
    /** The path's own key, subscribed to at the start. */
    readonly address: KeyAddress,
    readonly keyScope: KeyScope | undefined,
  ) {
    super(identity, sink, options);
  }
}

/** The parts that `options.to` may hold; ANDed. `businessId` only together with `businessType`. */
export interface PushTarget {
  businessType?: string;
  businessId?: string;
  userName?: string;
  clientId?: string;
}

/** One push, checked and encoded. */
export interface RawDataPush {
  readonly frame: Frame;
  readonly businessType: string;
  /** undefined: every client that may see the businessType. */
  readonly businessId: string | undefined;
  /** Replaces the address. */
  readonly to: PushTarget | undefined;
  /** The clientId that is left out. */
  readonly except: string | undefined;
  /** Asked for matched clients only; false: not delivered. */
  readonly filter: ((client: RawDataClient) => boolean) | undefined;
}

/** Routes raw data to the outboxes of the clients that they match. Knows no socket. */
export class RawDataRouter {
  private readonly index = new KeyIndex<RawDataClient>();
  private readonly byClientId = new Map<string, RawDataClient>();
  private readonly byUserName = new Map<string, Set<RawDataClient>>();
  private pushNumber = 0;

  add(client: RawDataClient): void {
    const { clientId, userName } = client.identity;
    this.byClientId.set(clientId, client);
    const ofUser = this.byUserName.get(userName);
    if (ofUser === undefined) this.byUserName.set(userName, new Set([client]));
    else ofUser.add(client);
    this.index.add(client, client.address);
  }

  remove(client: RawDataClient): void {
    const { clientId, userName } = client.identity;
    this.byClientId.delete(clientId);
    const ofUser = this.byUserName.get(userName);
    ofUser?.delete(client);
    if (ofUser?.size === 0) this.byUserName.delete(userName);
    this.index.removeAll(client);
  }

  subscribe(client: RawDataClient, address: KeyAddress): boolean {
    return this.index.add(client, address);
  }

  unsubscribe(client: RawDataClient, address: KeyAddress): boolean {
    return this.index.remove(client, address);
  }

  isSubscribed(client: RawDataClient, address: KeyAddress): boolean {
    return this.index.has(client, address);
  }

  subscriptionsOf(client: RawDataClient): KeyAddress[] {
    return this.index.subscriptionsOf(client);
  }

  subscriptionCountOf(client: RawDataClient): number {
    return this.index.countOf(client);
  }

  /** Offers the frame to every client that the push matches, once each, and returns how many those are. */
  route(push: RawDataPush): number {
    this.pushNumber += 1;
    if (push.to !== undefined) return this.routeTo(push, push.to);
    const { businessType, businessId } = push;
    if (businessId === undefined) {
      return this.offerAll(this.byClientId.values(), push, (client) => mayHearBroadcast(client, businessType));
    }
    return (
      this.offerAll(this.index.exact(businessType, businessId), push) +
      this.offerAll(this.index.wide(businessType), push)
    );
  }

  private routeTo(push: RawDataPush, to: PushTarget): number {
    const { businessType, businessId, userName, clientId } = to;
    const matchesKey =
      businessType === undefined
        ? undefined
        : (client: RawDataClient) => this.index.matches(client, businessType, businessId);
    if (clientId !== undefined) {
      const client = this.byClientId.get(clientId);
      if (client === undefined || (userName !== undefined && client.identity.userName !== userName)) return 0;
      return this.offerAll([client], push, matchesKey);
    }
    if (userName !== undefined) return this.offerAll(this.byUserName.get(userName), push, matchesKey);
    if (businessType === undefined) return 0;
    if (businessId !== undefined) {
      return (
        this.offerAll(this.index.exact(businessType, businessId), push) +
        this.offerAll(this.index.wide(businessType), push)
      );
    }
    let matched = 0;
    for (const clients of this.index.ofType(businessType)) matched += this.offerAll(clients, push);
    return matched;
  }

  private offerAll(
    clients: Iterable<RawDataClient> | undefined,
    push: RawDataPush,
    matches?: (client: RawDataClient) => boolean,
  ): number {
    if (clients === undefined) return 0;
    const { pushNumber } = this;
    const { frame, except, filter } = push;
    let matched = 0;
    for (const client of clients) {
      if (client.lastPushNumber === pushNumber) continue;
      client.lastPushNumber = pushNumber;
      if (client.identity.clientId === except) continue;
      if (matches !== undefined && !matches(client)) continue;
      if (filter !== undefined && !filter(client)) continue;
      client.offer(frame);
      matched += 1;
    }
    return matched;
  }
}

function mayHearBroadcast({ keyScope }: RawDataClient, businessType: string): boolean {
  return keyScope === undefined || keyScope.covers(businessType, undefined);
}
