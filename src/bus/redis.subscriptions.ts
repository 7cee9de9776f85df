import type { RedisClient } from '../redis/redis.link.js';
import { SubscribedNames } from './subscribed.names.js';
import type { WantedChannels } from './wanted.channels.js';

/** Gets what was published, and on which channel. May not throw: node-redis would lose its place in what it reads. */
export type MessageListener = (message: Buffer, channel: Buffer) => void;

/** Everything that changed until one moment. */
class Round {
  confirm: () => void = () => {};
  /** All that was wanted by then is confirmed. */
  readonly confirmed = new Promise<void>((resolve) => (this.confirm = resolve));
}

/**
 * Keeps one connection subscribed to what is wanted. What changes in one tick, or while Redis is asked, is one command for
 * channels and one for patterns. Made anew for each connection, so nothing is assumed about an earlier one.
 */
export class RedisSubscriptions {
  private readonly channels: SubscribedNames;
  private readonly patterns: SubscribedNames;
  private waiting: Round | undefined;
  private asked: Round | undefined;
  private isRunning = false;
  private isEnded = false;
  private wasRefused = false;

  /** `onRefused`: Redis answered with an error; nothing more is asked until {@link retry}. */
  constructor(
    client: RedisClient,
    wanted: WantedChannels,
    listener: MessageListener,
    private readonly onRefused: (cause: unknown) => void,
  ) {
    this.channels = new SubscribedNames(wanted.channels, {
      subscribe: (names) => client.subscribe(names, listener, true),
      unsubscribe: (names) => client.unsubscribe(names, listener, true),
    });
    this.patterns = new SubscribedNames(wanted.patterns, {
      subscribe: (names) => client.pSubscribe(names, listener, true),
      unsubscribe: (names) => client.pUnsubscribe(names, listener, true),
    });
  }

  /** Subscribes to all that is wanted now; resolves when Redis has confirmed that. */
  async begin(): Promise<void> {
    this.waiting = new Round();
    const { confirmed } = this.waiting;
    void this.run();
    await confirmed;
  }

  /** Something that is wanted is not subscribed to, because Redis does not let this node. */
  get isRefused(): boolean {
    return this.wasRefused;
  }

  /** Has to be called for each name that is wanted from now on, or no longer. */
  change(name: string, isPattern: boolean): void {
    (isPattern ? this.patterns : this.channels).change(name);
    if (this.isEnded || this.waiting !== undefined) return;
    this.waiting = new Round();
    setImmediate(() => void this.run());
  }

  /** Resolves when Redis has confirmed all that was wanted until now; undefined where it has. */
  whenConfirmed(): Promise<void> | undefined {
    return (this.waiting ?? this.asked)?.confirmed;
  }

  /** Asks again for what was refused. */
  retry(): void {
    void this.run();
  }

  /** The connection is gone: nobody goes on waiting for it. */
  end(): void {
    this.isEnded = true;
    this.asked?.confirm();
    this.waiting?.confirm();
  }

  private async run(): Promise<void> {
    if (this.isRunning) return;
    this.isRunning = true;
    while (this.waiting !== undefined && !this.isEnded) {
      const round = this.waiting;
      this.asked = round;
      this.waiting = undefined;
      const isDone = await this.converge();
      this.asked = undefined;
      if (isDone) round.confirm();
      else {
        this.join(round);
        break;
      }
    }
    this.isRunning = false;
  }

  /** False where Redis refused, or the connection ended. */
  private async converge(): Promise<boolean> {
    const { channels, patterns } = this;
    const channelChanges = channels.takeChanges();
    const patternChanges = patterns.takeChanges();
    try {
      await Promise.all([channels.subscribe(channelChanges), patterns.subscribe(patternChanges)]);
    } catch (cause) {
      channels.putBack(channelChanges);
      patterns.putBack(patternChanges);
      if (this.isEnded) return false;
      this.wasRefused = true;
      this.onRefused(cause);
      return false;
    }
    this.wasRefused = false;
    // Only now: what takes the place of a channel or a pattern is confirmed, so nothing is missed between.
    const givenUp = Promise.all([channels.unsubscribe(channelChanges), patterns.unsubscribe(patternChanges)]);
    givenUp.catch((cause: unknown) => this.isEnded || this.onRefused(cause));
    return true;
  }

  /** Its changes wait again, with those that came since. */
  private join(round: Round): void {
    if (this.waiting === undefined) this.waiting = round;
    else void this.waiting.confirmed.then(() => round.confirm());
  }
}
