import { isLastValue } from '../bus/bus.js';
import type { NumberedEnvelope } from '../bus/envelope.encoding.js';
import { seriesOfConflationKey } from '../fan-out/key.js';
import type { Clock } from '../push.clock.js';
import { LastValueNames } from './last-value.names.js';
import { encodeRecord } from './last-value.record.js';
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
   * Publishes a message of data that are addressed alike. Rejects where Redis did not publish it, or where that is not known;
   * what it did not write is told and counted.
   */
  async publish(channel: string, message: string, data: readonly NumberedEnvelope[]): Promise<void> {
    const { connection, history, now } = this.options;
    const kept = data.filter(({ envelope }) => isLastValue(envelope));
    const [first] = kept;
    if (first === undefined) {
      await connection.commands.client.publish(channel, message);
      return;
    }
    const { businessType, businessId = '' } = first.envelope;
    const address = { businessType, businessId };
    const values = this.names.valuesOf(address);
    const { removed, pairs } = recordsOf(connection.nodeId, newestOf(kept, history));
    const nowMs = now();
    const isRenewed = this.isRenewalDue(values, nowMs) ? 1 : 0;
    const numbers = [history, STORED_VALUE_LIFE_MS, nowMs, isRenewed, removed.length].map(String);
    const fault = await connection.run(
      publishWithValues,
      [values, this.names.idsOf(businessType), this.names.historyOf(address)],
      [channel, message, businessId, ...numbers, ...removed, ...pairs],
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

/** The last ones of each series, oldest first. */
function newestOf(data: readonly NumberedEnvelope[], history: number): Map<string, NumberedEnvelope[]> {
  const bySeries = new Map<string, NumberedEnvelope[]>();
  for (const datum of data) {
    const series = seriesOfConflationKey(datum.envelope.conflationKey);
    const known = bySeries.get(series);
    if (known === undefined) bySeries.set(series, [datum]);
    else if (known.push(datum) > history) known.shift();
  }
  return bySeries;
}

/** The series whose newest value is too large, and series and record in turns of the others. */
function recordsOf(
  nodeId: string,
  bySeries: ReadonlyMap<string, readonly NumberedEnvelope[]>,
): { removed: string[]; pairs: string[] } {
  const removed: string[] = [];
  const pairs: string[] = [];
  for (const [series, data] of bySeries) {
    const sinceTooLarge = data.slice(data.findLastIndex(isTooLarge) + 1);
    if (sinceTooLarge.length < data.length) removed.push(series);
    for (const { sequence, envelope } of sinceTooLarge) {
      pairs.push(series, encodeRecord({ nodeId, sequence }, envelope.datumJson));
    }
  }
  return { removed, pairs };
}

function isTooLarge({ envelope }: NumberedEnvelope): boolean {
  return Buffer.byteLength(envelope.datumJson) > MAX_STORED_VALUE_BYTES;
}
