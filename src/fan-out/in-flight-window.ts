/** A mark confirms at least this part of the window. */
const MARKED_PART = 1 / 4;
/** Of the window, what is open at least and at most when a mark goes out. */
const SMALLEST_RESERVE = 1 / 8;
const LARGEST_RESERVE = 1 / 2;
/** Half of the default of `conflateAfterMs`: a window that is full for no longer begins no pressure there. */
const PROMPT_MS = 50;

/**
 * What a client has been written and has not confirmed to have read. The kernel takes some 4 MB of a stopped reader's
 * data before Node sees any of it, so the gateway counts for itself: marks go out with the data, and a returned mark
 * confirms all bytes written up to it.
 *
 * Each mark costs the server a read, so it goes out as late as it can and still be back before the window is full: when
 * what is open is twice what was written during the last round trip.
 *
 * Invariant after a flush: where the window is full, less than a quarter of it is not covered by a mark, so a full window
 * always has an outstanding mark that will open it.
 */
export class InFlightWindow {
  private writtenBytes = 0;
  private markedBytes = 0;
  private confirmedBytes = 0;
  /** What is to be open when a mark goes out. */
  private reserveBytes: number;
  private readonly outstanding: Mark[] = [];

  constructor(private readonly windowBytes: number) {
    this.reserveBytes = windowBytes * LARGEST_RESERVE;
  }

  get inFlightBytes(): number {
    return this.writtenBytes - this.confirmedBytes;
  }

  /** Bytes that may be written now; 0 or less: the window is full. */
  get openBytes(): number {
    return this.windowBytes - this.inFlightBytes;
  }

  /** Whether a flush of so many bytes has to carry a mark. */
  isMarkDue(flushBytes: number): boolean {
    const reserveBytes = Math.max(this.reserveBytes, this.reserveFor(flushBytes));
    return (
      this.openBytes - flushBytes <= reserveBytes &&
      this.writtenBytes + flushBytes - this.markedBytes >= this.windowBytes * MARKED_PART
    );
  }

  wrote(bytes: number): void {
    this.writtenBytes += bytes;
  }

  /** The mark of this flush was the last thing written. */
  marked(flushNumber: number, nowMs: number): void {
    this.markedBytes = this.writtenBytes;
    this.outstanding.push({ flushNumber, writtenBytes: this.writtenBytes, sentAtMs: nowMs });
  }

  /** Takes a returned mark; false where it is not outstanding, so that a made-up one opens nothing. */
  confirm(flushNumber: number, nowMs: number): boolean {
    const index = this.outstanding.findIndex((mark) => mark.flushNumber === flushNumber);
    const mark = this.outstanding[index];
    if (mark === undefined) return false;
    this.outstanding.splice(0, index + 1);
    this.confirmedBytes = mark.writtenBytes;
    const isPrompt = nowMs - mark.sentAtMs <= PROMPT_MS;
    this.reserveBytes = isPrompt ? this.reserveFor(this.inFlightBytes) : this.windowBytes * LARGEST_RESERVE;
    return true;
  }

  private reserveFor(roundTripBytes: number): number {
    const { windowBytes } = this;
    return Math.min(Math.max(2 * roundTripBytes, windowBytes * SMALLEST_RESERVE), windowBytes * LARGEST_RESERVE);
  }
}

interface Mark {
  readonly flushNumber: number;
  /** Up to it. */
  readonly writtenBytes: number;
  readonly sentAtMs: number;
}
