import { isUpTo } from './place.js';
import { after } from './surroundings.js';

const ACK_WITHIN_MS = 1000;
/** Less than the thousand alarms that a server by default sends ahead. */
const ACK_AT_THE_LATEST_AFTER = 100;

/** Confirms a durable subscription's alarms, many at once, and never a place that this connection was not sent. */
export class Acknowledgements {
  readonly #send: (id: string) => void;
  #wanted: string | undefined;
  #confirmed: string | undefined;
  #reached: string | undefined;
  #count = 0;
  #cancelTimer: (() => void) | undefined;

  constructor(send: (id: string) => void) {
    this.#send = send;
  }

  /** A new connection, which begins behind this place. */
  begin(place: string | undefined): void {
    this.#reached = place;
    // The last one may not have been stored.
    this.#confirmed = undefined;
  }

  /** The server has sent everything up to here on this connection. */
  received(id: string): void {
    this.#reached = id;
    if (this.#wanted !== this.#confirmed) this.#plan();
  }

  /** Everything up to here is dealt with. An earlier place changes nothing. */
  acknowledge(id: string): void {
    if (this.covers(id)) return;
    this.#wanted = id;
    this.#count += 1;
    if (this.#count < ACK_AT_THE_LATEST_AFTER) this.#plan();
    else this.flush();
  }

  /** Whether everything up to here was acknowledged. */
  covers(id: string): boolean {
    return this.#wanted !== undefined && isUpTo(id, this.#wanted);
  }

  flush(): void {
    this.#cancelTimer?.();
    this.#cancelTimer = undefined;
    const wanted = this.#wanted;
    if (!wanted || wanted === this.#confirmed || !this.#reached || !isUpTo(wanted, this.#reached)) return;
    this.#confirmed = wanted;
    this.#count = 0;
    this.#send(wanted);
  }

  #plan(): void {
    this.#cancelTimer ??= after(ACK_WITHIN_MS, () => this.flush());
  }
}
