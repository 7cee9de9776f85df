import type { RawDataEnvelope } from './bus.js';
import type { NumberedEnvelope } from './envelope.encoding.js';

export interface OutgoingOptions {
  /** Budget of what waits, in UTF-16 units of JSON; over it newer values take the place of older ones, and then the oldest go. */
  readonly maxWaitingBytes: number;
}

/** The data of one channel that wait, in order: by their sequence, or under pressure by what conflates with what. */
type Line = Map<number | string, NumberedEnvelope>;

/**
 * Raw data that wait to be sent, channel by channel. Without pressure all of them wait in order; from
 * {@link beginPressure} until nothing waits, a newer value of a series takes the place of the one that waits.
 */
export class OutgoingData {
  private lines = new Map<string, Line>();
  private bytes = 0;
  private isUnderPressure = false;
  /** How many were replaced by newer ones. */
  conflatedCount = 0;
  /** How many went because the budget was spent. */
  droppedCount = 0;

  constructor(private readonly options: OutgoingOptions) {}

  get isEmpty(): boolean {
    return this.lines.size === 0;
  }

  get byteLength(): number {
    return this.bytes;
  }

  add(channel: string, datum: NumberedEnvelope): void {
    this.put(channel, datum);
    if (this.bytes <= this.options.maxWaitingBytes) return;
    this.beginPressure();
    while (this.bytes > this.options.maxWaitingBytes && this.dropOldest());
  }

  beginPressure(): void {
    if (this.isUnderPressure || this.isEmpty) return;
    this.isUnderPressure = true;
    const { lines } = this;
    this.lines = new Map();
    this.bytes = 0;
    for (const [channel, line] of lines) for (const datum of line.values()) this.put(channel, datum);
  }

  /**
   * The first data of the channel that has waited longest: at least one, and no more than fit into the bytes; in the order of
   * their sequence.
   */
  take(maxBytes: number): { readonly channel: string; readonly data: readonly NumberedEnvelope[] } | undefined {
    const [oldest] = this.lines;
    if (oldest === undefined) return undefined;
    const [channel, line] = oldest;
    const data: NumberedEnvelope[] = [];
    let takenBytes = 0;
    for (const datum of line.values()) {
      const bytes = bytesOf(datum);
      if (data.length > 0 && takenBytes + bytes > maxBytes) break;
      takenBytes += bytes;
      data.push(datum);
    }
    this.removeFirst(channel, line, data.length, takenBytes);
    // A newer value stands in an older one's place.
    data.sort((one, other) => one.sequence - other.sequence);
    return { channel, data };
  }

  private put(channel: string, datum: NumberedEnvelope): void {
    const line = this.lines.get(channel) ?? this.begin(channel);
    const place = this.isUnderPressure ? conflationIdOf(datum.envelope) : datum.sequence;
    const outdated = line.get(place);
    line.set(place, datum);
    this.bytes += bytesOf(datum);
    if (outdated === undefined) return;
    this.bytes -= bytesOf(outdated);
    this.conflatedCount += 1;
  }

  private begin(channel: string): Line {
    const line: Line = new Map();
    this.lines.set(channel, line);
    return line;
  }

  /** False where there is only one left: a single datum may be larger than the budget. */
  private dropOldest(): boolean {
    const [channel, line] = this.lines.entries().next().value ?? [];
    if (channel === undefined || line === undefined || (this.lines.size === 1 && line.size === 1)) return false;
    const [oldest] = line.values();
    if (oldest === undefined) return false;
    this.removeFirst(channel, line, 1, bytesOf(oldest));
    this.droppedCount += 1;
    return true;
  }

  private removeFirst(channel: string, line: Line, count: number, bytes: number): void {
    this.bytes -= bytes;
    if (count === line.size) {
      this.lines.delete(channel);
      if (this.lines.size === 0) this.isUnderPressure = false;
      return;
    }
    let left = count;
    for (const place of line.keys()) {
      if (left === 0) return;
      line.delete(place);
      left -= 1;
    }
  }
}

/** What the head of a datum takes, about. */
const HEAD_BYTES = 64;

/** About: characters beyond ASCII take more, and to count them would cost more than to send them. */
function bytesOf({ envelope: { datumJson } }: NumberedEnvelope): number {
  return datumJson.length + HEAD_BYTES;
}

/** Data of one series that are not for the same clients do not stand for each other. */
function conflationIdOf({ conflationKey, to, except }: RawDataEnvelope): string {
  return to === undefined && except === undefined ? conflationKey : JSON.stringify([conflationKey, to, except]);
}
