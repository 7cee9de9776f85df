import { reasonOf } from '../push.causes.js';
import type { RedisConnection } from '../redis/redis.connection.js';
import type { RedisClient, RedisLink } from '../redis/redis.link.js';
import type { ChannelName } from './channels.js';
import { RedisProbe } from './redis.probe.js';
import { RedisSubscriptions } from './redis.subscriptions.js';
import { WantedChannels } from './wanted.channels.js';

export interface SubscriberOptions {
  /** Nobody else publishes there. */
  readonly probeChannel: ChannelName;
  /** Never throws. */
  readonly onMessage: (message: Buffer) => void;
  readonly onError: (message: string) => void;
}

/** A dead connection is found after two to three beats. */
const BEAT_INTERVAL_MS = 2000;
/** How many beats Redis may take to confirm the subscriptions of a new connection. */
const MAX_UNCONFIRMED_BEATS = 3;

const CONSEQUENCE = 'so raw data of other nodes do not arrive';
const NOT_REACHED = `Redis is not reached, ${CONSEQUENCE}`;
const NOT_PASSED_ON = `Redis does not pass on what is published, ${CONSEQUENCE}`;

/** What is known of one connection. */
interface Subscribed {
  readonly subscriptions: RedisSubscriptions;
  isConfirmed: boolean;
  unconfirmedBeats: number;
}

/**
 * The connection by which a node hears the others: subscribed to what is wanted, and known to be alive by what this node
 * publishes to itself. A connection that was lost is replaced by a new one; only when everything wanted is confirmed
 * there, and something has really travelled, is the fault over.
 */
export class RedisSubscriber {
  private readonly link: RedisLink;
  private readonly wanted = new WantedChannels((name, isPattern) => this.now?.subscriptions.change(name, isPattern));
  private readonly probeChannel: Buffer;
  private readonly probe: RedisProbe;
  private readonly beats: NodeJS.Timeout;
  private readonly faultListeners = new Set<() => void>();
  /** Of the connection of now. */
  private now: Subscribed | undefined;
  private currentFault: string | undefined = NOT_REACHED;

  constructor(
    connection: RedisConnection,
    private readonly options: SubscriberOptions,
  ) {
    const { probeChannel } = options;
    this.probeChannel = Buffer.from(probeChannel.name);
    this.wanted.want(probeChannel);
    this.probe = new RedisProbe({
      publish: (text) => connection.commands.client.publish(probeChannel.name, text),
      onReturned: () => this.confirmHeard(),
      onLost: () => this.giveUpConnection(),
    });
    this.link = connection.link('raw-data', { pings: false, forgets: true });
    this.link.onUp(() => void this.begin());
    this.link.onDown(() => this.end(NOT_REACHED));
    // The probe goes there by the link for commands, which may be back later than this one.
    connection.commands.onUp(() => this.now?.isConfirmed === true && this.probe.begin());
    this.beats = setInterval(() => this.beat(), BEAT_INTERVAL_MS).unref();
  }

  /** What it answers comes behind all that was published before. Another one after a loss. */
  get client(): RedisClient {
    return this.link.client;
  }

  /** Why nothing is heard; a sentence. */
  get fault(): string | undefined {
    return this.currentFault;
  }

  /** Called when the fault comes and when it goes. The returned function ends that. */
  onFaultChanged(listener: () => void): () => void {
    this.faultListeners.add(listener);
    return () => this.faultListeners.delete(listener);
  }

  want(channel: ChannelName): void {
    this.wanted.want(channel);
  }

  giveUp(channel: ChannelName): void {
    this.wanted.giveUp(channel);
  }

  /** Resolves when what is wanted now is confirmed, or when it cannot be; undefined where there is nothing to wait for. */
  whenWanted(): Promise<void> | undefined {
    const confirmed = this.fault === undefined ? this.now?.subscriptions.whenConfirmed() : undefined;
    return confirmed && this.orFault(confirmed);
  }

  close(): void {
    clearInterval(this.beats);
    this.faultListeners.clear();
    this.link.close();
    this.now?.subscriptions.end();
    this.now = undefined;
  }

  private async begin(): Promise<void> {
    const subscriptions = new RedisSubscriptions(
      this.link.client,
      this.wanted,
      (message, channel) => this.take(message, channel),
      (cause) => this.refused(cause),
    );
    const now = { subscriptions, isConfirmed: false, unconfirmedBeats: 0 };
    this.now = now;
    await subscriptions.begin();
    if (now !== this.now) return;
    now.isConfirmed = true;
    this.probe.begin();
  }

  private end(fault: string): void {
    if (this.now === undefined) return;
    this.now.subscriptions.end();
    this.now = undefined;
    this.setFault(fault);
  }

  private beat(): void {
    const { now } = this;
    if (now === undefined) return;
    now.subscriptions.retry();
    if (now.isConfirmed) this.probe.beat();
    else if ((now.unconfirmedBeats += 1) > MAX_UNCONFIRMED_BEATS) this.giveUpConnection();
  }

  private giveUpConnection(): void {
    this.end(NOT_PASSED_ON);
    this.link.restart();
  }

  private take(message: Buffer, channel: Buffer): void {
    if (channel.equals(this.probeChannel)) this.probe.receive(message.toString());
    else this.options.onMessage(message);
  }

  private confirmHeard(): void {
    if (this.now?.subscriptions.isRefused === false) this.setFault(undefined);
  }

  private refused(cause: unknown): void {
    const reason = reasonOf(cause);
    const fault = `Redis refuses to let this node subscribe (${reason}), ${CONSEQUENCE}`;
    if (fault !== this.fault) this.options.onError(fault);
    this.setFault(fault);
  }

  private async orFault(confirmed: Promise<void>): Promise<void> {
    let stop: (() => void) | undefined;
    const fault = new Promise<void>((resolve) => (stop = this.onFaultChanged(resolve)));
    await Promise.race([confirmed, fault]);
    stop?.();
  }

  private setFault(fault: string | undefined): void {
    const isChanged = (fault === undefined) !== (this.currentFault === undefined);
    this.currentFault = fault;
    if (isChanged) for (const listener of this.faultListeners) listener();
  }
}
