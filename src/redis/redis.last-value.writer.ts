import { isLastValue } from '../bus/bus.js';
import type { NumberedEnvelope } from '../bus/envelope.encoding.js';
import { seriesOfConflationKey } from '../fan-out/key.js';
import type { KeyAddress } from '../protocol/messages.js';
import type { Clock } from '../push.clock.js';
import { LastValueNames } from './last-value.names.js';
import { recordHead } from './last-value.record.js';
import { publishWithValues } from './last-value.script.js';
import type { RedisConnection } from './redis.connection.js';

/** A value above this is not kept, nor an older one of its series. */
export const MAX_STORED_VALUE_BYTES = 262_144;
/** How long values are kept that nobody pushes anew. */
export const STORED_VALUE_LIFE_MS = 86_400_000;
/** How often that life begins anew, and an id that Redis has lost is found again, while values are pushed. */
const RENEWAL_INTERVAL_MS = 5000;

export interface LastValueWriterOptions {
  readonly connection: RedisConnection;
  /** Values kept of each series. */
  readonly history: number;
  /** What Redis did not write although it published; told once until it writes again. */
  readonly onError: (message: string) => void;
  readonly now: Clock;
}

/** Writes the newest values of what is published to its own (businessType, businessId), in one step with the message. */
export class RedisLastValueWriter {
  private readonly names: LastValueNames;
  /** Addresses whose life has begun anew since then. */
  private readonly renewed = new Set<string>();
  private renewedSinceMs = 0;
  private hasToldError = false;
  /** How often values were not written. */
  failedCount = 0;

  constructor(private readonly options: LastValueWriterOptions) {
    this.names = new LastValueNames(options.connection);
    this.load();
    options.connection.commands.onUp(() => this.load());
  }

  /**
   * Publishes a message of data that are addressed alike, as `encodeEnvelopes` makes it. Rejects where Redis did not publish
   * it, or where that is not known; what it did not write is told and counted.
   */
  async publish(channel: string, message: string, data: readonly NumberedEnvelope[]): Promise<void> {
    const { connection, history, now } = this.options;
    const address = addressOf(data);
    if (address === undefined) {
      await connection.commands.client.publish(channel, message);
      return;
    }
    const { businessType, businessId } = address;
    const values = this.names.valuesOf(address);
    const { removed, kept } = choose(data, history);
    const nowMs = now();
    const isRenewed = this.isRenewalDue(values, nowMs) ? 1 : 0;
    const numbers = [history, STORED_VALUE_LIFE_MS, nowMs, isRenewed].map(String);
    const fault = await connection.run(
      publishWithValues,
      [values, this.names.idsOf(businessType), this.names.historyOf(address)],
      [
        channel,
        message,
        businessId,
        ...numbers,
        recordHead(connection.nodeId),
        String(removed.length),
        ...removed,
        ...kept,
      ],
    );
    this.report(String(fault));
  }

  /** Where this fails, the script is sent whole when it is needed. */
  private load(): void {
    publishWithValues.load(this.options.connection.commands.client).catch(() => {});
  }

  private isRenewalDue(address: string, nowMs: number): boolean {
    if (nowMs - this.renewedSinceMs >= RENEWAL_INTERVAL_MS) {
      this.renewed.clear();
      this.renewedSinceMs = nowMs;
    }
    if (this.renewed.has(address)) return false;
    this.renewed.add(address);
    return true;
  }

  private report(fault: string): void {
    if (fault !== '') this.failedCount += 1;
    if (fault !== '' && !this.hasToldError) {
      this.options.onError(`last values are not kept, so nodes that ask for them show none: ${fault}`);
    }
    this.hasToldError = fault !== '';
  }
}

/** Of those that are values; undefined where none is. */
function addressOf(data: readonly NumberedEnvelope[]): KeyAddress | undefined {
  for (const { envelope } of data) {
    const { businessType, businessId } = envelope;
    if (businessId !== undefined && isLastValue(envelope)) return { businessType, businessId };
  }
  return undefined;
}

/**
 * What is kept of each series, in turns: the series, the number of the datum in the message from 1 on, and its sequence;
 * those of one series oldest first. And the series whose newest value is too large, or one among those that are kept.
 */
function choose(data: readonly NumberedEnvelope[], history: number): { removed: string[]; kept: string[] } {
  const places = new Map<string, number[]>();
  for (const [place, { envelope }] of data.entries()) {
    if (!isLastValue(envelope)) continue;
    const series = seriesOfConflationKey(envelope.conflationKey);
    const known = places.get(series);
    if (known === undefined) places.set(series, [place]);
    else if (known.push(place) > history) known.shift();
  }
  const removed: string[] = [];
  const kept: string[] = [];
  for (const [series, all] of places) {
    const sinceTooLarge = all.slice(all.findLastIndex((place) => isTooLarge(data[place])) + 1);
    if (sinceTooLarge.length < all.length) removed.push(series);
    for (const place of sinceTooLarge) kept.push(series, `${place + 1}`, `${data[place]?.sequence}`);
  }
  return { removed, kept };
}

function isTooLarge(datum: NumberedEnvelope | undefined): boolean {
  const json = datum?.envelope.datumJson ?? '';
  // A character has at most three bytes.
  return json.length * 3 > MAX_STORED_VALUE_BYTES && Buffer.byteLength(json) > MAX_STORED_VALUE_BYTES;
}
