/** How many beats without an answer make a connection a dead one. */
const MAX_MISSED_BEATS = 2;

export interface ProbeOptions {
  /** Publishes on the node's own probe channel; resolves to how many subscribers Redis passed it on to. */
  readonly publish: (text: string) => Promise<number>;
  /** A number has travelled to Redis and back by the connection of now. */
  readonly onReturned: () => void;
  /** The connection of now is dead, whatever it looks like. */
  readonly onLost: () => void;
}

/**
 * Finds a connection that looks alive and is dead, by numbers that really travel. It counts beats and looks at no clock: a
 * process that was busy itself has read what came in before it counts again.
 */
export class RedisProbe {
  private sent = 0;
  private returned = 0;
  private missedBeats = 0;

  constructor(private readonly options: ProbeOptions) {}

  /** A new connection, which is subscribed to the probe channel: what earlier ones did not return does not count. */
  begin(): void {
    this.missedBeats = 0;
    this.returned = this.sent;
    void this.send();
  }

  /** To be called every few seconds. */
  beat(): void {
    this.missedBeats = this.returned < this.sent ? this.missedBeats + 1 : 0;
    if (this.missedBeats >= MAX_MISSED_BEATS) this.options.onLost();
    else void this.send();
  }

  receive(text: string): void {
    const number = Number(text);
    if (!(number > this.returned && number <= this.sent)) return;
    this.returned = number;
    this.options.onReturned();
  }

  private async send(): Promise<void> {
    const number = (this.sent += 1);
    try {
      const receiverCount = await this.options.publish(String(number));
      if (receiverCount === 0 && number > this.returned) this.options.onLost();
    } catch {
      // It was not published, so it does not return, and the next beat counts it as missed.
    }
  }
}
