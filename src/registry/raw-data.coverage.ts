import { Inject, Injectable, Logger, type OnApplicationShutdown } from '@nestjs/common';
import { RAW_DATA_BUS, type RawDataBus } from '../bus/bus.js';
import { LAST_VALUE_STORE, type LastValueStore, type StoredSeries } from '../bus/last-value.store.js';
import type { Interest, InterestListener } from '../fan-out/interest.js';
import type { StoredValue } from '../fan-out/series-values.js';
import { LastValues } from '../fan-out/last-values.js';
import type { SubscriptionRequest } from '../protocol/messages.js';
import { withDeadline } from '../push.deadline.js';
import { PushOptions } from '../push.options.js';
import { LastValueSync } from './last-value.sync.js';

/** A client waits no longer than this for the other nodes: then it is subscribed with what is known here. */
const COVER_DEADLINE_MS = 2000;

/** What a client is about to be subscribed to is wanted, from now until `release`. */
export interface Cover {
  /**
   * Resolves when data of other nodes arrive, and the last values that were asked for are known; or when that takes too
   * long. Undefined: there is nothing to wait for. Never rejects.
   */
  readonly ready: Promise<void> | undefined;
  /** Has to be called once the client is subscribed, or will not be. A second call does nothing. */
  release(): void;
}

/** Who is about to connect, and what of. */
export interface ConnectionToCover extends SubscriptionRequest {
  readonly userName: string;
  readonly clientId: string;
}

type NewsListener = (address: StoredSeries['address'], news: readonly StoredValue[]) => void;

/**
 * Sees to it that a subscription is in force on every node before the client is told so, and that this node knows the last
 * values that it asked for: it looks them up where it did not cover the key until now, and again where it may have
 * missed something. Where there is one node only it does nothing, and nothing waits.
 */
@Injectable()
export class RawDataCoverage implements InterestListener, OnApplicationShutdown {
  private readonly logger = new Logger(RawDataCoverage.name);
  private readonly sync: LastValueSync | undefined;
  private readonly stopListening: () => void;
  private newsListener: NewsListener = () => {};
  private hasReported = false;
  /** Of the event loop; undefined: nobody has gone on in this one. */
  private nextTurn: Promise<void> | undefined;

  constructor(
    @Inject(RAW_DATA_BUS) private readonly bus: RawDataBus,
    @Inject(LAST_VALUE_STORE) store: LastValueStore | undefined,
    lastValues: LastValues,
    { maxOutboxBytes }: PushOptions,
  ) {
    if (store !== undefined) {
      this.sync = new LastValueSync(store, lastValues, {
        maxSnapshotBytes: maxOutboxBytes / 2,
        whenInForce: () => bus.whenWanted(),
        onNews: (address, news) => this.newsListener(address, news),
        onError: (cause) => this.report(cause),
      });
    }
    this.stopListening = bus.onFaultChanged(() => this.takeFault());
    if (bus.fault !== undefined) this.takeFault();
  }

  onApplicationShutdown(): void {
    this.stopListening();
    this.sync?.close();
  }

  /** Is given what this node had missed of keys that it covers; the clients are to be offered it. */
  onNews(listener: NewsListener): void {
    this.newsListener = listener;
  }

  gained(interest: Interest): void {
    this.bus.want(interest);
    if (interest.kind === 'key') this.sync?.want(interest);
  }

  lost(interest: Interest): void {
    this.bus.giveUp(interest);
    if (interest.kind === 'key') this.sync?.giveUp(interest);
  }

  /** Whatever a new connection can be reached by. */
  coverConnection({ userName, clientId, ...request }: ConnectionToCover): Cover {
    const own: Interest[] = [{ kind: 'client', clientId }, { kind: 'user', userName }, { kind: 'everybody' }];
    return this.cover([...own, ...interestsIn(request)], [request]);
  }

  coverKeys(requests: readonly SubscriptionRequest[]): Cover {
    return this.cover(requests.flatMap(interestsIn), requests);
  }

  private cover(interests: Interest[], requests: readonly SubscriptionRequest[]): Cover {
    for (const interest of interests) this.gained(interest);
    return {
      ready: this.whenCovered(requests.filter(({ snapshot, history = 0 }) => snapshot === true || history > 0)),
      release: () => {
        for (const interest of interests.splice(0)) this.lost(interest);
      },
    };
  }

  private whenCovered(toFill: readonly SubscriptionRequest[]): Promise<void> | undefined {
    if (this.bus.fault !== undefined) return undefined;
    const wanted = this.bus.whenWanted();
    const covered = wanted === undefined ? this.sync?.fill(toFill) : wanted.then(() => this.sync?.fill(toFill));
    return covered && this.inTime(covered, toFill);
  }

  private async inTime(covered: Promise<unknown>, toFill: readonly SubscriptionRequest[]): Promise<void> {
    await withDeadline(covered, COVER_DEADLINE_MS, () => this.sync?.miss(toFill));
    await this.turnOfItsOwn();
  }

  /** Thousands may have waited for the same, and each is to be sent its last values: others are served in between. */
  private turnOfItsOwn(): Promise<void> | undefined {
    const own = this.nextTurn;
    const next = (own ?? Promise.resolve()).then(() => new Promise<void>((resolve) => setImmediate(resolve)));
    this.nextTurn = next;
    void next.finally(() => {
      if (this.nextTurn === next) this.nextTurn = undefined;
    });
    return own;
  }

  private takeFault(): void {
    this.hasReported = false;
    if (this.bus.fault === undefined) this.sync?.resume();
    else this.sync?.interrupt();
  }

  /** Once for each fault: it may be said of thousands of keys. */
  private report(cause: unknown): void {
    if (this.hasReported) return;
    this.hasReported = true;
    this.logger.warn(`last values could not be read, and are read again: ${String(cause)}`);
  }
}

function interestsIn({ businessType, businessId }: SubscriptionRequest): Interest[] {
  return [
    { kind: 'key', businessType, businessId },
    { kind: 'type', businessType },
  ];
}
