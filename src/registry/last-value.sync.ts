import type { LastValueStore, StoredSeries } from '../bus/last-value.store.js';
import { conflationKey } from '../fan-out/key.js';
import type { StoredValue } from '../fan-out/series-values.js';
import type { LastValues } from '../fan-out/last-values.js';
import { ANY_BUSINESS_ID, type KeyAddress } from '../protocol/messages.js';

/** Keys whose last values are looked up at the same time, after a fault: Redis answers a burst of these in a few milliseconds. */
const LANES = 64;
/** How long it takes until a look-up that failed is tried again. */
const RETRY_MS = 1000;

/**
 * `unknown`: this node may not have all last values of the key, and nobody has asked for them. `known`: it has, and whatever
 * comes arrives. `missed`: something may have been lost, or a client was subscribed without what it asked for.
 */
type KeyState = 'unknown' | 'known' | 'missed';

/** A key that is wanted. */
interface WantedKey {
  readonly address: KeyAddress;
  count: number;
  state: KeyState;
  lookUp: Promise<boolean> | undefined;
}

export interface LastValueSyncOptions {
  /** Where a key has more than this, the rest of it is not looked up for a snapshot: that is refused. */
  readonly maxSnapshotBytes: number;
  /** Resolves when all that is wanted until now arrives; undefined where it does. */
  readonly whenInForce: () => Promise<void> | undefined;
  /** Values of clients' keys that this node had missed, oldest first. */
  readonly onNews: (address: StoredSeries['address'], news: readonly StoredValue[]) => void;
  readonly onError: (cause: unknown) => void;
}

/** Keeps the last values that this node knows of the keys that it wants level with those of the store. */
export class LastValueSync {
  private readonly keys = new Map<string, WantedKey>();
  /** Rises with each fault: what was read before says nothing of what comes after. */
  private faultCount = 0;
  private isFaulty = false;
  private retryTimer: NodeJS.Timeout | undefined;

  constructor(
    private readonly store: LastValueStore,
    private readonly lastValues: LastValues,
    private readonly options: LastValueSyncOptions,
  ) {}

  want(address: KeyAddress): void {
    const id = idOf(address);
    const key = this.keys.get(id);
    if (key === undefined) this.keys.set(id, { address, count: 1, state: 'unknown', lookUp: undefined });
    else key.count += 1;
  }

  giveUp(address: KeyAddress): void {
    const key = this.keys.get(idOf(address));
    if (key === undefined) return;
    key.count -= 1;
    if (key.count === 0) this.keys.delete(idOf(address));
  }

  /**
   * Has the last values of these keys looked up, which have to be wanted and in force; undefined where they are known, or
   * cannot be looked up now. Never rejects.
   */
  fill(addresses: readonly KeyAddress[]): Promise<unknown> | undefined {
    if (this.isFaulty) return undefined;
    const lookUps = addresses.flatMap((address) => {
      const key = this.keys.get(idOf(address));
      return key === undefined || this.isKnown(key) ? [] : [this.lookUp(key)];
    });
    return lookUps.length === 0 ? undefined : Promise.all(lookUps);
  }

  /** Clients do not wait any longer for these keys to be filled: they get what is missing when it comes. */
  miss(addresses: readonly KeyAddress[]): void {
    for (const address of addresses) {
      const key = this.keys.get(idOf(address));
      if (key?.state === 'unknown') key.state = 'missed';
    }
  }

  /** What is sent does not arrive any more. */
  interrupt(): void {
    this.isFaulty = true;
    this.faultCount += 1;
    clearTimeout(this.retryTimer);
    this.retryTimer = undefined;
  }

  /** What is sent arrives again; what was sent meanwhile did not. */
  resume(): void {
    this.isFaulty = false;
    for (const key of this.keys.values()) {
      key.state = 'missed';
      key.lookUp = undefined;
    }
    void this.catchUp();
  }

  close(): void {
    this.interrupt();
    this.keys.clear();
  }

  /** A whole type covers its ids: they are in force, and everything of them has arrived until now. */
  private isKnown(key: WantedKey): boolean {
    if (key.state === 'unknown' && this.typeOf(key.address)?.state === 'known') key.state = 'known';
    return key.state === 'known';
  }

  /** Whether clients may lack values of an address, which a look-up for others must not pass over. */
  private isMissed(address: StoredSeries['address']): boolean {
    return this.keys.get(idOf(address))?.state === 'missed' || this.typeOf(address)?.state === 'missed';
  }

  private typeOf({ businessType }: KeyAddress): WantedKey | undefined {
    return this.keys.get(idOf({ businessType, businessId: ANY_BUSINESS_ID }));
  }

  /** Looks up all keys of which something was missed, in steps; where one fails, those that are left wait with it. */
  private async catchUp(): Promise<void> {
    const { faultCount } = this;
    await this.options.whenInForce();
    const missed = [...this.keys.values()].filter(({ state }) => state === 'missed');
    let isGoing = true;
    const lane = async () => {
      for (let key = missed.pop(); key !== undefined && isGoing; key = missed.pop()) {
        if (faultCount !== this.faultCount) return;
        if (key.state === 'missed' && !(await this.lookUp(key))) isGoing = false;
      }
    };
    await Promise.all(Array.from({ length: LANES }, lane));
  }

  private retryLater(): void {
    this.retryTimer ??= setTimeout(() => {
      this.retryTimer = undefined;
      void this.catchUp();
    }, RETRY_MS).unref();
  }

  /** False where it failed; it is tried again then. */
  private lookUp(key: WantedKey): Promise<boolean> {
    if (key.lookUp !== undefined) return key.lookUp;
    const lookUp = this.read(key).finally(() => {
      if (key.lookUp === lookUp) key.lookUp = undefined;
    });
    key.lookUp = lookUp;
    return lookUp;
  }

  private async read(key: WantedKey): Promise<boolean> {
    const { faultCount } = this;
    const { arrivals } = this.lastValues;
    let bytes = 0;
    try {
      for await (const page of this.store.read(key.address)) {
        if (faultCount !== this.faultCount) return false;
        // Given up meanwhile: what was missed since then has not arrived, so what has is not newer than what is found.
        if (key.count === 0) return true;
        for (const series of page) bytes += this.take(series, arrivals);
        const isTooMuch = key.state === 'unknown' && bytes > this.options.maxSnapshotBytes;
        if (isTooMuch) return true;
      }
    } catch (cause) {
      this.options.onError(cause);
      if (faultCount !== this.faultCount) return false;
      if (key.state === 'unknown') key.state = 'missed';
      this.retryLater();
      return false;
    }
    if (faultCount === this.faultCount) key.state = 'known';
    return true;
  }

  /** Returns the bytes of the newest value. */
  private take({ address, values }: StoredSeries, sinceArrival: number): number {
    const news = this.lastValues.merge(address, values, sinceArrival);
    if (news.length > 0 && this.isMissed(address)) this.options.onNews(address, news);
    return Buffer.byteLength(values.at(-1)?.json ?? '');
  }
}

function idOf({ businessType, businessId }: KeyAddress): string {
  return conflationKey(businessType, businessId, '');
}
