import type { CloseCode } from '../protocol/close-codes.js';
import type { KeyAddress } from '../protocol/messages.js';
import { addressOfConflationKey } from './key.js';
import { Client, type ClientIdentity, type ClientOptions } from './client.js';
import type { Frame } from './frame.js';
import type { InterestListener } from './interest.js';
import { KeyIndex, type Subscription } from './key-index.js';
import type { KeyScope } from './key-scope.js';
import { RateClock, RateGate } from './rate-gate.js';
import type { Sink } from './sink.js';

/** A connection of the raw-data gateway. */
export class RawDataClient extends Client {
  /** Made with the first subscription that limits its frequency. */
  rateGate: RateGate | undefined;

  constructor(
    identity: ClientIdentity,
    sink: Sink,
    options: ClientOptions,
    /** The path's own key, subscribed to at the start. */
    readonly address: Subscription,
    readonly keyScope: KeyScope | undefined,
  ) {
    super(identity, sink, options);
  }

  /** Also what its rate limits hold back is written before the end. */
  override drain(closeCode: Pick<CloseCode, 'code' | 'reason'>): void {
    this.rateGate?.releaseAll();
    super.drain(closeCode);
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

/** Where the clients of a push are found: in any of the sets, where `matches` says so. */
interface Candidates {
  readonly sets: Iterable<Iterable<RawDataClient> | undefined>;
  readonly matches?: (client: RawDataClient) => boolean;
}

/** Routes raw data to the outboxes of the clients that they match. Knows no socket. */
export class RawDataRouter {
  private readonly index: KeyIndex<RawDataClient>;
  private readonly byClientId = new Map<string, RawDataClient>();
  private readonly byUserName = new Map<string, Set<RawDataClient>>();
  private pushNumber = 0;

  private readonly rateClock = new RateClock();

  /** `interest` is told what the clients of this node can be reached by. */
  constructor(private readonly interest?: InterestListener) {
    this.index = new KeyIndex(interest);
  }

  add(client: RawDataClient): void {
    const { clientId, userName } = client.identity;
    this.byClientId.set(clientId, client);
    if (this.byClientId.size === 1) this.interest?.gained({ kind: 'everybody' });
    this.interest?.gained({ kind: 'client', clientId });
    const ofUser = this.byUserName.get(userName);
    if (ofUser === undefined) {
      this.byUserName.set(userName, new Set([client]));
      this.interest?.gained({ kind: 'user', userName });
    } else ofUser.add(client);
    this.subscribe(client, client.address);
  }

  remove(client: RawDataClient): void {
    const { clientId, userName } = client.identity;
    if (!this.byClientId.delete(clientId)) return;
    this.interest?.lost({ kind: 'client', clientId });
    const ofUser = this.byUserName.get(userName);
    ofUser?.delete(client);
    if (ofUser?.size === 0) {
      this.byUserName.delete(userName);
      this.interest?.lost({ kind: 'user', userName });
    }
    if (this.byClientId.size === 0) this.interest?.lost({ kind: 'everybody' });
    this.index.removeAll(client);
    client.rateGate?.clear();
  }

  /** False where the client has it already. What waits of it goes by its new rate after {@link repace}. */
  subscribe(client: RawDataClient, subscription: Subscription): boolean {
    if (subscription.maxFrequencyHz !== undefined) {
      client.rateGate ??= new RateGate((frame) => client.offer(frame), this.rateClock);
    }
    return this.index.add(client, subscription);
  }

  unsubscribe(client: RawDataClient, address: KeyAddress): boolean {
    return this.index.remove(client, address);
  }

  /**
   * To be called once after all changes of one message: what waits for a client goes by the rates of now. Returns how many
   * series were gone through.
   */
  repace(client: RawDataClient): number {
    const count = client.rateGate?.count ?? 0;
    client.rateGate?.repace((key) => {
      const { businessType, businessId } = addressOfConflationKey(key);
      return this.index.intervalMs(client, businessType, businessId);
    }, performance.now());
    return count;
  }

  isSubscribed(client: RawDataClient, address: KeyAddress): boolean {
    return this.index.has(client, address);
  }

  subscriptionsOf(client: RawDataClient): Subscription[] {
    return this.index.subscriptionsOf(client);
  }

  subscriptionCountOf(client: RawDataClient): number {
    return this.index.countOf(client);
  }

  /** Offers to one client past its rate limits; what waits there of the same series is out of date by then. */
  offerNow(client: RawDataClient, frame: Frame): void {
    if (client.rateGate === undefined) client.offer(frame);
    else client.rateGate.offer(frame, 0, performance.now());
  }

  /** Offers the frame to every client that the push matches, once each, and returns how many those are. */
  route(push: RawDataPush): number {
    const { filter } = push;
    let matched = 0;
    if (filter === undefined) {
      this.forEachMatch(push, (client) => {
        this.offer(client, push);
        matched += 1;
      });
      return matched;
    }
    // A filter is the application's and may push, subscribe or disconnect: it runs when the walk is over.
    const candidates: RawDataClient[] = [];
    this.forEachMatch(push, (client) => candidates.push(client));
    for (const client of candidates) {
      if (!filter(client)) continue;
      this.offer(client, push);
      matched += 1;
    }
    return matched;
  }

  private forEachMatch(push: RawDataPush, visit: (client: RawDataClient) => void): void {
    this.pushNumber += 1;
    const { pushNumber } = this;
    const { except } = push;
    const { sets, matches } = push.to === undefined ? this.addressed(push) : this.targeted(push.to);
    for (const clients of sets) {
      if (clients === undefined) continue;
      for (const client of clients) {
        if (client.lastPushNumber === pushNumber) continue;
        client.lastPushNumber = pushNumber;
        if (client.state !== 'open') continue;
        if (except !== undefined && client.identity.clientId === except) continue;
        if (matches === undefined || matches(client)) visit(client);
      }
    }
  }

  private addressed({ businessType, businessId }: RawDataPush): Candidates {
    if (businessId !== undefined) return { sets: this.subscribersOf(businessType, businessId) };
    return { sets: [this.byClientId.values()], matches: (client) => mayHearBroadcast(client, businessType) };
  }

  private targeted({ businessType, businessId, userName, clientId }: PushTarget): Candidates {
    const matches = (client: RawDataClient) =>
      (userName === undefined || client.identity.userName === userName) &&
      (businessType === undefined || this.index.matches(client, businessType, businessId));
    if (clientId !== undefined) {
      const client = this.byClientId.get(clientId);
      return { sets: client === undefined ? [] : [[client]], matches };
    }
    if (userName !== undefined) return { sets: [this.byUserName.get(userName)], matches };
    if (businessType === undefined) return { sets: [] };
    if (businessId !== undefined) return { sets: this.subscribersOf(businessType, businessId) };
    return { sets: this.index.ofType(businessType) };
  }

  private subscribersOf(businessType: string, businessId: string): Candidates['sets'] {
    return [this.index.exact(businessType, businessId), this.index.wide(businessType)];
  }

  private offer(client: RawDataClient, push: RawDataPush): void {
    if (client.rateGate === undefined) client.offer(push.frame);
    else client.rateGate.offer(push.frame, this.intervalMs(client, push), performance.now());
  }

  /** What was asked for of a key does not hold back what is pushed to the client itself, or to everybody. */
  private intervalMs(client: RawDataClient, { businessType, businessId, to }: RawDataPush): number {
    return to !== undefined || businessId === undefined ? 0 : this.index.intervalMs(client, businessType, businessId);
  }
}

function mayHearBroadcast({ keyScope }: RawDataClient, businessType: string): boolean {
  return keyScope === undefined || keyScope.covers(businessType, undefined);
}
