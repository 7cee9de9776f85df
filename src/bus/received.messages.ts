import type { DatumOrigin, RawDataEnvelope } from './bus.js';
import { decodeEnvelopes, type EnvelopeFault, envelopePrefix } from './envelope.encoding.js';

export type ReceivedListener = (envelope: RawDataEnvelope, origin: DatumOrigin) => void;

export interface ReceivedCounts {
  /** Data that were handed on. */
  readonly received: number;
  /** Messages that came by a channel and by the pattern that covers it. */
  readonly duplicateMessages: number;
  readonly malformedMessages: number;
  readonly unknownVersionMessages: number;
  /** Data that a listener threw at. */
  readonly failed: number;
}

const FAULT_TEXT: Readonly<Record<EnvelopeFault, string>> = {
  malformed: 'something that is no message of a node was published on a channel of raw data, and is passed over',
  unknownVersion: 'a node of a newer release publishes raw data that this one cannot read: update this one',
};

/** What comes in from Redis: takes messages apart, passes over this node's own, and hands each datum on once. */
export class ReceivedMessages {
  private readonly ownPrefix: Buffer;
  private readonly listeners = new Set<ReceivedListener>();
  private readonly told = new Set<string>();
  private lastOrigin: DatumOrigin | undefined;
  readonly counts = { received: 0, duplicateMessages: 0, malformedMessages: 0, unknownVersionMessages: 0, failed: 0 };

  constructor(
    nodeId: string,
    private readonly onError: (message: string) => void,
  ) {
    this.ownPrefix = Buffer.from(envelopePrefix(nodeId));
  }

  onReceived(listener: ReceivedListener): () => void {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }

  /** Never throws. */
  take(message: Buffer): void {
    if (this.isOwn(message)) return;
    const decoded = decodeEnvelopes(message.toString());
    if (typeof decoded === 'string') {
      this.counts[`${decoded}Messages`] += 1;
      this.tellOnce(decoded, FAULT_TEXT[decoded]);
      return;
    }
    if (this.isRepeated(decoded[0]?.origin)) return;
    for (const { envelope, origin } of decoded) this.handOn(envelope, origin);
  }

  private isOwn(message: Buffer): boolean {
    const { ownPrefix } = this;
    return message.length > ownPrefix.length && ownPrefix.equals(message.subarray(0, ownPrefix.length));
  }

  /** Redis writes what a channel and a pattern have in common one after the other, so only the last has to be known. */
  private isRepeated(origin: DatumOrigin | undefined): boolean {
    const { lastOrigin } = this;
    this.lastOrigin = origin;
    if (origin?.sequence !== lastOrigin?.sequence || origin?.nodeId !== lastOrigin?.nodeId) return false;
    this.counts.duplicateMessages += 1;
    return true;
  }

  private handOn(envelope: RawDataEnvelope, origin: DatumOrigin): void {
    this.counts.received += 1;
    for (const listener of this.listeners) {
      try {
        listener(envelope, origin);
      } catch (cause) {
        this.counts.failed += 1;
        this.tellOnce('failed', `a raw datum of another node was not delivered: ${String(cause)}`);
      }
    }
  }

  private tellOnce(what: string, message: string): void {
    if (this.told.has(what)) return;
    this.told.add(what);
    this.onError(message);
  }
}
