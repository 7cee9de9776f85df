import type { RedisLink } from '../redis/redis.link.js';
import { isLastValue } from './bus.js';
import { encodeEnvelopes, type NumberedEnvelope } from './envelope.encoding.js';
import { OutgoingData } from './outgoing.data.js';

/** Takes a message to Redis, and may do more with what is in it. Rejects where it is not known to be published. */
export type PublishMessage = (channel: string, message: string, data: readonly NumberedEnvelope[]) => Promise<unknown>;

export interface PublisherOptions {
  readonly link: RedisLink;
  /** In the place of PUBLISH. */
  readonly publish?: PublishMessage | undefined;
  readonly nodeId: string;
  /** Budget of what was published and not answered yet, in UTF-16 units, which are bytes where it is ASCII. Default 1 Mi. */
  readonly maxInFlightBytes?: number | undefined;
  /** Budget of what waits for that, in the same. Default 16 Mi. */
  readonly maxWaitingBytes?: number | undefined;
  readonly onError: (message: string) => void;
}

const MAX_IN_FLIGHT_BYTES = 1024 * 1024;
const MAX_WAITING_BYTES = 16 * 1024 * 1024;
/** Receivers work a message off in one go, so a burst goes in several. */
const MAX_MESSAGE_BYTES = 256 * 1024;
const CLOSE_DEADLINE_MS = 1000;

/**
 * Publishes what one tick brings for one channel as one message; while Redis has not answered, what further ticks bring
 * is collected, so that under load messages grow instead of becoming more. What waits has a budget: whoever pushes never
 * waits.
 */
export class RedisPublisher {
  private readonly outgoing: OutgoingData;
  /** Newest values that were on their way when the connection was lost: nobody may push their series again. */
  private readonly lostValues: OutgoingData;
  private readonly maxInFlightBytes: number;
  private inFlightBytes = 0;
  private immediate: NodeJS.Immediate | undefined;
  private onIdle: (() => void) | undefined;
  private lostCount = 0;
  private hasToldError = false;
  /** How many data Redis has taken. */
  sentCount = 0;

  constructor(private readonly options: PublisherOptions) {
    this.maxInFlightBytes = options.maxInFlightBytes ?? MAX_IN_FLIGHT_BYTES;
    this.outgoing = new OutgoingData({ maxWaitingBytes: options.maxWaitingBytes ?? MAX_WAITING_BYTES });
    this.lostValues = new OutgoingData({ maxWaitingBytes: this.maxInFlightBytes });
    options.link.onUp(() => {
      this.publishLost();
      this.flush();
    });
  }

  /** How many were replaced by newer ones while they waited. */
  get conflatedCount(): number {
    return this.outgoing.conflatedCount;
  }

  /** How many went because the budget was spent, or were on their way when the connection was lost. */
  get droppedCount(): number {
    return this.outgoing.droppedCount + this.lostCount;
  }

  /** What waits and what is on its way, about. */
  get pendingBytes(): number {
    return this.outgoing.byteLength + this.inFlightBytes;
  }

  add(channel: string, datum: NumberedEnvelope): void {
    this.outgoing.add(channel, datum);
    if (this.inFlightBytes > 0) this.limitWaiting();
    else {
      this.immediate ??= setImmediate(() => {
        this.immediate = undefined;
        this.flush();
      });
    }
  }

  /** Resolves when Redis has taken what it can of all that was added until now; undefined where it has. */
  whenSent(): Promise<unknown> | undefined {
    if (this.pendingBytes === 0) return undefined;
    this.sendWaiting();
    // Redis answers in the order in which it is asked.
    return this.options.link.client.ping();
  }

  /** Sends what waits, as far as Redis takes it soon. */
  async close(): Promise<void> {
    clearImmediate(this.immediate);
    this.sendWaiting();
    if (this.inFlightBytes === 0 || !this.options.link.isUp) return;
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, CLOSE_DEADLINE_MS);
      this.onIdle = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }

  private flush(): void {
    if (this.inFlightBytes === 0) this.sendWaiting();
    this.limitWaiting();
  }

  private sendWaiting(): void {
    while (this.options.link.isUp && this.inFlightBytes < this.maxInFlightBytes) {
      const taken = this.outgoing.take(MAX_MESSAGE_BYTES);
      if (taken === undefined) return;
      void this.publish(taken.channel, taken.data);
    }
  }

  /** More than what goes with the next answer will not be current any more when it goes. */
  private limitWaiting(): void {
    const { outgoing, maxInFlightBytes } = this;
    if (!this.options.link.isUp || outgoing.byteLength > maxInFlightBytes) outgoing.beginPressure();
  }

  private async publish(channel: string, data: readonly NumberedEnvelope[]): Promise<void> {
    const { link, nodeId, publish } = this.options;
    const message = encodeEnvelopes(nodeId, data);
    const bytes = message.length;
    this.inFlightBytes += bytes;
    try {
      await (publish === undefined ? link.client.publish(channel, message) : publish(channel, message, data));
      this.sentCount += data.length;
      this.hasToldError = false;
    } catch (cause) {
      this.lostCount += data.length;
      if (!link.isUp) this.keepLost(channel, data);
      this.tell(cause);
    }
    this.inFlightBytes -= bytes;
    if (this.inFlightBytes === 0) this.flush();
    if (this.inFlightBytes === 0) this.onIdle?.();
  }

  /** What receivers know already they pass over. */
  private keepLost(channel: string, data: readonly NumberedEnvelope[]): void {
    for (const datum of data) if (isLastValue(datum.envelope)) this.lostValues.add(channel, datum);
    this.lostValues.beginPressure();
  }

  /** Ahead of what is newer. */
  private publishLost(): void {
    for (let lost = this.lostValues.take(MAX_MESSAGE_BYTES); lost; lost = this.lostValues.take(MAX_MESSAGE_BYTES)) {
      void this.publish(lost.channel, lost.data);
    }
  }

  /** A connection that was lost is told of by the link itself. */
  private tell(cause: unknown): void {
    if (this.hasToldError || !this.options.link.isUp) return;
    this.hasToldError = true;
    const reason = cause instanceof Error ? cause.message : String(cause);
    this.options.onError(`raw data do not reach other nodes, Redis refuses them: ${reason}`);
  }
}
