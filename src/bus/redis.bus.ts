import { type Interest, interestAddressed } from '../fan-out/interest.js';
import { PushConfigurationError } from '../push.errors.js';
import { withinMs } from '../redis/deadline.js';
import type { RedisConnection } from '../redis/redis.connection.js';
import type { RedisClient } from '../redis/redis.link.js';
import type { ReadingPlace } from '../redis/redis.last-values.js';
import type { BusCounts, DatumOrigin, RawDataBus, RawDataEnvelope } from './bus.js';
import { Channels } from './channels.js';
import { type ReceivedCounts, type ReceivedListener, ReceivedMessages } from './received.messages.js';
import { type PublishMessage, RedisPublisher } from './redis.publisher.js';
import { RedisSubscriber } from './redis.subscriber.js';

export interface RedisBusOptions {
  /** What goes wrong; each thing once. */
  readonly onError?: (message: string) => void;
  /** Takes messages to Redis in the place of PUBLISH. */
  readonly publish?: PublishMessage;
  /** How long {@link RedisBus.open} waits until other nodes are heard. Default 10,000. */
  readonly openDeadlineMs?: number;
  /** Budget of what was published and not answered yet. Default 1 MiB. */
  readonly maxInFlightBytes?: number;
  /** Budget of what waits for that. Default 16 MiB. */
  readonly maxWaitingBytes?: number;
}

/** `dropped` went because the budget was spent, or were on their way when the connection was lost. */
export type RedisBusCounts = BusCounts & ReceivedCounts;

const OPEN_DEADLINE_MS = 10_000;

/**
 * Raw data between nodes by Redis' publish and subscribe: one channel for each thing that a push can be addressed to, which
 * a node is subscribed to while it wants that. At most once; what was lost with a connection is told by `fault`.
 */
export class RedisBus implements RawDataBus, ReadingPlace {
  private readonly nodeId: string;
  private readonly channels: Channels;
  private readonly messages: ReceivedMessages;
  private readonly publisher: RedisPublisher;
  private readonly subscriber: RedisSubscriber;
  private sequence = 0;

  private constructor(connection: RedisConnection, options: RedisBusOptions) {
    const { nodeId, commands } = connection;
    const onError = (message: string) => options.onError?.(message);
    this.nodeId = nodeId;
    this.channels = new Channels((...parts) => connection.key(...parts));
    this.messages = new ReceivedMessages(nodeId, onError);
    this.publisher = new RedisPublisher({ ...options, link: commands, nodeId, onError });
    this.subscriber = new RedisSubscriber(connection, {
      probeChannel: this.channels.probeOf(nodeId),
      onMessage: (message) => this.messages.take(message),
      onError,
    });
  }

  /** Resolves when other nodes are heard; throws {@link PushConfigurationError} where that takes too long. */
  static async open(connection: RedisConnection, options: RedisBusOptions = {}): Promise<RedisBus> {
    const bus = new RedisBus(connection, options);
    // A right that is missing has to show now, not when the first client subscribes to a whole type.
    const trial = bus.channels.trialPatternOf(connection.nodeId);
    bus.subscriber.want(trial);
    const isHeard = new Promise<void>((resolve) => {
      const stop = bus.onFaultChanged(() => {
        stop();
        resolve();
      });
    });
    try {
      await withinMs(isHeard, options.openDeadlineMs ?? OPEN_DEADLINE_MS);
      bus.subscriber.giveUp(trial);
      return bus;
    } catch (cause) {
      const fault = bus.fault ?? String(cause);
      await bus.close();
      throw new PushConfigurationError([fault]);
    }
  }

  get fault(): string | undefined {
    return this.subscriber.fault;
  }

  get counts(): RedisBusCounts {
    const { sentCount: sent, conflatedCount: conflated, droppedCount: dropped } = this.publisher;
    return { ...this.messages.counts, sent, conflated, dropped };
  }

  /** Bytes that wait to be sent, and bytes that are on their way. */
  get pendingBytes(): number {
    return this.publisher.pendingBytes;
  }

  get subscribing(): RedisClient {
    return this.subscriber.client;
  }

  whenSent(): Promise<unknown> | undefined {
    return this.publisher.whenSent();
  }

  send(envelope: RawDataEnvelope): DatumOrigin {
    const sequence = (this.sequence += 1);
    this.publisher.add(this.channels.nameOf(interestAddressed(envelope)), { sequence, envelope });
    return { nodeId: this.nodeId, sequence };
  }

  onReceived(listener: ReceivedListener): () => void {
    return this.messages.onReceived(listener);
  }

  want(interest: Interest): void {
    this.subscriber.want(this.channels.of(interest));
  }

  giveUp(interest: Interest): void {
    this.subscriber.giveUp(this.channels.of(interest));
  }

  whenWanted(): Promise<void> | undefined {
    return this.subscriber.whenWanted();
  }

  onFaultChanged(listener: () => void): () => void {
    return this.subscriber.onFaultChanged(listener);
  }

  async close(): Promise<void> {
    await this.publisher.close();
    this.subscriber.close();
  }
}
