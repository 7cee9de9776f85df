/**
 * A time of day that moves only when the test says so. Give its {@link now} to whatever asks for the time: to a
 * FakePushService, to a running PushModule in the place of `CLOCK`, to the application's own code.
 */
export class TestClock {
  private nowMs: number;

  /** Unix time in ms, or a date. Default: the time of the machine. */
  constructor(start: number | Date = Date.now()) {
    this.nowMs = Number(start);
  }

  /** Unix time in ms, as `Date.now()`. Bound, so that it can be handed on. */
  readonly now = (): number => this.nowMs;

  /** Moves it on. Throws a RangeError where that would be back. */
  advance(ms: number): void {
    if (!(ms >= 0)) throw new RangeError(`a clock cannot be advanced by ${ms} ms`);
    this.nowMs += ms;
  }
}
