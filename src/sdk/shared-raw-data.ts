import { ANY_BUSINESS_ID, type SubscriptionRequest } from '../protocol/messages.js';
import { rawDataEndpoint } from './endpoint.js';
import type { RawDatum } from './events.js';
import { Listeners } from './listeners.js';
import type { RawDataOptions } from './options.js';
import { PushClientError } from './push-client.error.js';
import { connectRawData, type RawDataConnection } from './raw-data.connection.js';
import { nameOf } from './subscriptions.js';

/** One connection for many components, each of which watches what it shows. */
export class SharedRawData<D = RawDatum> {
  /** For its state, its errors, and whatever else concerns all. */
  readonly connection: RawDataConnection<D>;
  readonly #listeners = new Listeners();
  readonly #wishes = new Map<string, Set<SubscriptionRequest>>();
  /** What the server was asked for. */
  readonly #asked = new Map<string, SubscriptionRequest>();
  /** Keys whose wishes have changed; true: somebody joined who wants the last values. */
  readonly #changed = new Map<string, boolean>();

  constructor(options: RawDataOptions) {
    this.connection = connectRawData<D>(options);
    this.connection.on('rawData', (datum) => this.#take(datum));
    this.connection.on('refused', (keys) => {
      for (const key of keys) this.#asked.delete(nameOf(key));
    });
    this.#listeners.on('error', (error: PushClientError) => this.connection.report(error));
    // The server begins with the key of the path, which nobody watches yet.
    const { key } = rawDataEndpoint(options);
    this.#asked.set(nameOf(key), key);
    this.#plan(nameOf(key), false);
  }

  /**
   * Calls the listener with every datum of this key, until what is returned is called. The key is subscribed to while
   * somebody watches it. Where several do, the fastest `maxFrequencyHz` counts for all, and when one joins with
   * `snapshot` or `history` the last values are sent once more, to all. What is pushed to a whole type comes to all who
   * watch something of it.
   */
  watch(request: SubscriptionRequest, listener: (datum: D) => unknown): () => void {
    const name = nameOf(request);
    const wish = { ...request };
    this.#wishes.set(name, (this.#wishes.get(name) ?? new Set()).add(wish));
    this.#plan(name, wish.snapshot === true || wish.history !== undefined);
    const off = this.#listeners.on(name, listener);
    return () => {
      off();
      this.#wishes.get(name)?.delete(wish);
      this.#plan(name, false);
    };
  }

  /** For good. */
  close(): void {
    this.connection.close();
  }

  #take(datum: D): unknown {
    const { businessType, businessId } = datum as RawDatum;
    const isToAll = businessId === undefined || businessId === '';
    const ids = isToAll ? this.#watchedIds(businessType) : [businessId, ANY_BUSINESS_ID];
    const work = ids.flatMap((id) => this.#listeners.emit(nameOf({ businessType, businessId: id }), datum));
    return work.length === 0 ? undefined : Promise.all(work);
  }

  #watchedIds(businessType: string): string[] {
    const wishes = [...this.#wishes.values()].flatMap(([first]) => first ?? []);
    return wishes.filter((wish) => wish.businessType === businessType).map(({ businessId }) => businessId);
  }

  /** What is changed in one go goes in one message: a page mounts its charts together. */
  #plan(name: string, wantsLastValues: boolean): void {
    if (this.#changed.size === 0) void Promise.resolve().then(() => this.#reconcile());
    this.#changed.set(name, wantsLastValues || this.#changed.get(name) === true);
  }

  #reconcile(): void {
    const wanted: SubscriptionRequest[] = [];
    const unwanted: SubscriptionRequest[] = [];
    for (const [name, wantsLastValues] of this.#changed) {
      const wish = merged([...(this.#wishes.get(name) ?? [])]);
      const asked = this.#asked.get(name);
      if (wish === undefined) {
        this.#wishes.delete(name);
        this.#asked.delete(name);
        if (asked !== undefined) unwanted.push(asked);
      } else if (asked === undefined || wantsLastValues || asked.maxFrequencyHz !== wish.maxFrequencyHz) {
        this.#asked.set(name, wish);
        wanted.push(wish);
      }
    }
    this.#changed.clear();
    // Fails only where the connection is over, which its state tells.
    if (unwanted.length > 0) this.connection.unsubscribe(unwanted).catch(() => {});
    if (wanted.length > 0) this.#subscribe(wanted);
  }

  #subscribe(keys: readonly SubscriptionRequest[]): void {
    this.connection.subscribe(keys).catch((error: PushClientError) => {
      // One key that is malformed refuses all of its message.
      if (keys.length > 1) for (const key of keys) this.#subscribe([key]);
      else if (error.fault === 'request') this.connection.report(error);
    });
  }
}

/** What serves all: the fastest, and the most of the last values. Undefined: nobody wants anything. */
function merged(wishes: readonly SubscriptionRequest[]): SubscriptionRequest | undefined {
  const [first] = wishes;
  if (first === undefined) return undefined;
  const { businessType, businessId } = first;
  const fastestHz = Math.max(...wishes.map(({ maxFrequencyHz = Infinity }) => maxFrequencyHz));
  const history = Math.max(...wishes.map((wish) => wish.history ?? 0));
  return {
    businessType,
    businessId,
    maxFrequencyHz: fastestHz === Infinity ? undefined : fastestHz,
    snapshot: wishes.some(({ snapshot }) => snapshot === true) || undefined,
    history: history === 0 ? undefined : history,
  };
}

/** One connection for many components; its options are those of {@link connectRawData}. */
export function sharedRawData<D = RawDatum>(options: RawDataOptions): SharedRawData<D> {
  return new SharedRawData<D>(options);
}
