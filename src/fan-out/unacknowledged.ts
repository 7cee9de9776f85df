/** Alarms that one connection of a durable subscription was sent and that its stored cursor does not cover yet. */
export class Unacknowledged {
  /** Ascending. */
  private offsets: number[] = [];

  constructor(private readonly max: number) {}

  /** Nothing more may be sent before something is acknowledged. */
  get isFull(): boolean {
    return this.offsets.length >= this.max;
  }

  sent(offset: number): void {
    this.offsets.push(offset);
  }

  /** What was to be sent after this offset was not. */
  rewind(offset: number): void {
    while ((this.offsets.at(-1) ?? 0) > offset) this.offsets.pop();
  }

  /** The stored cursor has moved to this offset. */
  acknowledge(offset: number): void {
    const remaining = this.offsets.findIndex((sent) => sent > offset);
    this.offsets = remaining === -1 ? [] : this.offsets.slice(remaining);
  }
}
