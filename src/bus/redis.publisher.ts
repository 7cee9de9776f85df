import type { RedisLink } from '../redis/redis.link.js';
import { encodeEnvelopes, type NumberedEnvelope } from './envelope.encoding.js';
import { OutgoingData } from './outgoing.data.js';

export interface PublisherOptions {
  readonly link: RedisLink;
  readonly nodeId: string;
  /** Budget of what was published and not answered yet, in bytes. Default 1 MiB. */
  readonly maxInFlightBytes?: number | undefined;
  /** Budget of what waits for that, in bytes. Default 16 MiB. */
  readonly maxWaitingBytes?: number | undefined;
  readonly onError: (message: string) => void;
}

const MAX_IN_FLIGHT_BYTES = 1024 * 1024;
const MAX_WAITING_BYTES = 16 * 1024 * 1024;
/** Receivers work a message off in one go, so a burst goes in several. */
const MAX_MESSAGE_BYTES = 256 * 1024;
const CLOSE_DEADLINE_MS = 1000;

/**
 * Publishes what one tick brings for one channel as one message. What Redis does not answer fast enough waits, within a
 * budget: whoever pushes never does.
 */
export class RedisPublisher {
  private readonly outgoing: OutgoingData;
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
    options.link.onUp(() => this.flush());
  }

  /** How many were replaced by newer ones while they waited. */
  get conflatedCount(): number {
    return this.outgoing.conflatedCount;
  }

  /** How many went because the budget was spent, or were on their way when the connection was lost. */
  get droppedCount(): number {
    return this.outgoing.droppedCount + this.lostCount;
  }

  /** Bytes that wait, and bytes that are on their way. */
  get pendingBytes(): number {
    return this.outgoing.byteLength + this.inFlightBytes;
  }

  add(channel: string, datum: NumberedEnvelope): void {
    this.outgoing.add(channel, datum);
    this.immediate ??= setImmediate(() => {
      this.immediate = undefined;
      this.flush();
    });
  }

  /** Sends what waits, as far as Redis takes it soon. */
  async close(): Promise<void> {
    clearImmediate(this.immediate);
    this.flush();
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
    while (this.options.link.isUp && this.inFlightBytes < this.maxInFlightBytes) {
      const taken = this.outgoing.take(MAX_MESSAGE_BYTES);
      if (taken === undefined) return;
      void this.publish(taken.channel, taken.data);
    }
    this.outgoing.beginPressure();
  }

  private async publish(channel: string, data: readonly NumberedEnvelope[]): Promise<void> {
    const { link, nodeId } = this.options;
    const message = encodeEnvelopes(nodeId, data);
    const bytes = Buffer.byteLength(message);
    this.inFlightBytes += bytes;
    try {
      await link.client.publish(channel, message);
      this.sentCount += data.length;
      this.hasToldError = false;
    } catch (cause) {
      this.lostCount += data.length;
      this.tell(cause);
    }
    this.inFlightBytes -= bytes;
    if (!this.outgoing.isEmpty) this.flush();
    if (this.inFlightBytes === 0) this.onIdle?.();
  }

  /** A connection that was lost is told of by the link itself. */
  private tell(cause: unknown): void {
    if (this.hasToldError || !this.options.link.isUp) return;
    this.hasToldError = true;
    const reason = cause instanceof Error ? cause.message : String(cause);
    this.options.onError(`raw data do not reach other nodes, Redis refuses them: ${reason}`);
  }
}
