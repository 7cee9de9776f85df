import type { ServerEvents } from '../protocol/messages.js';
import { Acknowledgements } from './acknowledgements.js';
import { PushConnection } from './connection.js';
import { alarmEndpoint, withQuery } from './endpoint.js';
import type { Alarm, AlarmEvents, AlarmMessage, PushMessage } from './events.js';
import type { AlarmOptions } from './options.js';
import { browserStorage, isUpTo, PlaceKeeper } from './place.js';

/** Alarms in their order, each once. A loop over it gets them with their `id`. */
export class AlarmConnection<A = Alarm> extends PushConnection<AlarmEvents<A>, AlarmMessage<A>> {
  readonly #options: AlarmOptions;
  readonly #keeper: PlaceKeeper | undefined;
  readonly #acknowledgements: Acknowledgements | undefined;
  #isLoaded = false;
  /** Everything up to here was received; what the server sends again is left out. */
  #received: string | undefined;
  #lastAlarm: string | undefined;
  /** Everything up to here was handled. */
  #handled: string | undefined;
  /** A loop was left before it had come so far: what it left is to come again. */
  #isLeft = false;
  /** The next id is of another place, perhaps of an earlier one. */
  #isBehindGap = false;
  /** The server began the durable subscription anew, unless a gap says why. */
  #isBegunAnew = false;

  constructor(options: AlarmOptions) {
    const endpoint = alarmEndpoint(options);
    super(endpoint, options);
    this.#options = options;
    const { durable, replay, storageKey = `push-gateway ${endpoint}` } = options;
    const { storage = replay === 'active' ? undefined : browserStorage() } = options;
    if (durable !== undefined) this.#acknowledgements = new Acknowledgements((id) => void this.send('ack', { id }));
    else if (typeof storage === 'object') this.#keeper = new PlaceKeeper(storage, storageKey, (e) => this.report(e));
  }

  /** Everything up to here was handled: what a new connection goes on after. */
  get place(): string | undefined {
    return this.#handled;
  }

  /**
   * Confirms that everything up to this alarm was received, within a second; needs `durable` and `acknowledge: 'manual'`.
   * What was not confirmed comes again in the next process. Throws a TypeError where there is nothing to confirm.
   */
  ack({ id }: { readonly id: string }): void {
    if (this.#acknowledgements === undefined) throw new TypeError('only a durable subscription is acknowledged');
    this.#acknowledgements.acknowledge(id);
  }

  /** @internal */
  protected override async url(endpoint: string): Promise<string> {
    const { durable, replay } = this.#options;
    if (durable !== undefined) return withQuery(endpoint, { durable, replay });
    const stored = this.#isLoaded ? undefined : await this.#keeper?.load();
    if (!this.#isLoaded) this.#received = this.#handled = stored;
    this.#isLoaded = true;
    return withQuery(endpoint, this.#received === undefined ? { replay } : { lastEventId: this.#received });
  }

  /** @internal */
  protected override begin({ cursor, resumed }: ServerEvents['ready']): void {
    this.#acknowledgements?.begin(cursor);
    this.#isBegunAnew = this.#acknowledgements !== undefined && this.#received !== undefined && resumed === false;
    if (this.#received !== undefined || cursor === undefined) return;
    this.#received = this.#handled = cursor;
    this.#keeper?.save(cursor);
  }

  /** @internal */
  protected override take(message: PushMessage): void {
    if (message.event === 'gap') this.#isBehindGap = true;
    else if (this.#isBegunAnew) this.delivery.listeners.emit('subscriptionLost', { requested: this.#received });
    this.#isBegunAnew = false;
    const isAlarm = message.event === 'alarm';
    if (message.id !== undefined && this.#advance(message.id)) this.#follow(message as AlarmMessage<A>, isAlarm);
    if (!isAlarm) this.tell(message);
  }

  /** @internal */
  protected override beforeClose(): void {
    this.#keeper?.flush();
    this.#acknowledgements?.flush();
  }

  /** An alarm, or the place that a heartbeat tells. */
  #follow(message: AlarmMessage<A>, isAlarm: boolean): void {
    const { id } = message;
    if (isAlarm) this.#lastAlarm = id;
    const lastAlarm = this.#lastAlarm;
    const follow = (isHandled: boolean) => {
      this.#isLeft ||= !isHandled;
      if (this.#isLeft) return;
      this.#handled = id;
      this.#keeper?.save(id, isAlarm);
      // What the application has not confirmed itself is not to be confirmed by the heartbeat behind it.
      const isConfirmed = lastAlarm === undefined || this.#acknowledgements?.covers(lastAlarm);
      if (this.#options.acknowledge !== 'manual' || isConfirmed) this.#acknowledgements?.acknowledge(id);
    };
    if (isAlarm) this.delivery.deliver(message, message, follow);
    else this.delivery.follow(follow);
  }

  /** False: the server sends it again. */
  #advance(id: string): boolean {
    this.#acknowledgements?.received(id);
    if (!this.#isBehindGap && this.#received !== undefined && isUpTo(id, this.#received)) return false;
    this.#isBehindGap = false;
    this.#received = id;
    return true;
  }
}

/** Connects to the alarm path; throws a TypeError where the options name no server, or there is no WebSocket. */
export function connectAlarms<A = Alarm>(options: AlarmOptions = {}): AlarmConnection<A> {
  return new AlarmConnection<A>(options);
}
