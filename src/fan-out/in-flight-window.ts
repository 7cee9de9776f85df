/** A mark is sent after every quarter of the window, so confirmations arrive before it is full. */
const MARKS_A_WINDOW = 4;

interface OutstandingMark {
  readonly flushNumber: number;
  readonly writtenBytes: number;
}

/**
 * What a client has been written and has not confirmed to have read. The kernel takes some 4 MB of a stopped reader's
 * data before Node sees any of it, so the gateway counts for itself: marks go out with the data, and a returned mark
 * confirms all bytes written up to it.
 *
 * Invariant after a flush: less than a quarter of the window is not covered by a mark, so a full window always has an
 * outstanding mark that will open it.
 */
export class InFlightWindow {
  private writtenBytes = 0;
  private markedBytes = 0;
  private confirmedBytes = 0;
  private outstanding: OutstandingMark[] = [];

  constructor(private readonly windowBytes: number) {}

  get inFlightBytes(): number {
    return this.writtenBytes - this.confirmedBytes;
  }

  /** Bytes that may be written now; 0 or less: the window is full. */
  get openBytes(): number {
    return this.windowBytes - this.inFlightBytes;
  }

  /** Whether a flush of so many bytes has to carry a mark. */
  isMarkDue(flushBytes: number): boolean {
    return this.writtenBytes + flushBytes - this.markedBytes >= this.windowBytes / MARKS_A_WINDOW;
  }

  wrote(bytes: number): void {
    this.writtenBytes += bytes;
  }

  /** The mark of this flush was the last thing written. */
  marked(flushNumber: number): void {
    this.markedBytes = this.writtenBytes;
    this.outstanding.push({ flushNumber, writtenBytes: this.writtenBytes });
  }

  /** Takes a returned mark; false where it is not outstanding, so that a made-up one opens nothing. */
  confirm(flushNumber: number): boolean {
    const index = this.outstanding.findIndex((mark) => mark.flushNumber === flushNumber);
    const mark = this.outstanding[index];
    if (mark === undefined) return false;
    this.confirmedBytes = mark.writtenBytes;
    this.outstanding.splice(0, index + 1);
    return true;
  }
}
