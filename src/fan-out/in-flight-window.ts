/** A mark confirms at least this part of the window … */
const MARKS_A_WINDOW = 4;
/** … and none is sent before the window is this full: each costs the server a read, some 8 µs, and most are not needed. */
const FILL_BEFORE_MARKS = 1 / 2;

/**
 * What a client has been written and has not confirmed to have read. The kernel takes some 4 MB of a stopped reader's
 * data before Node sees any of it, so the gateway counts for itself: marks go out with the data, and a returned mark
 * confirms all bytes written up to it.
 *
 * Invariant after a flush: where the window is full, less than a quarter of it is not covered by a mark, so a full window
 * always has an outstanding mark that will open it.
 */
export class InFlightWindow {
  private writtenBytes = 0;
  private markedBytes = 0;
  private confirmedBytes = 0;
  /** Flush number and bytes written of each outstanding mark, one after the other, oldest first. */
  private readonly outstanding: number[] = [];

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
    const writtenBytes = this.writtenBytes + flushBytes;
    return (
      writtenBytes - this.confirmedBytes >= this.windowBytes * FILL_BEFORE_MARKS &&
      writtenBytes - this.markedBytes >= this.windowBytes / MARKS_A_WINDOW
    );
  }

  wrote(bytes: number): void {
    this.writtenBytes += bytes;
  }

  /** The mark of this flush was the last thing written. */
  marked(flushNumber: number): void {
    this.markedBytes = this.writtenBytes;
    this.outstanding.push(flushNumber, this.writtenBytes);
  }

  /** Takes a returned mark; false where it is not outstanding, so that a made-up one opens nothing. */
  confirm(flushNumber: number): boolean {
    const { outstanding } = this;
    for (let i = 0; i < outstanding.length; i += 2) {
      if (outstanding[i] !== flushNumber) continue;
      this.confirmedBytes = outstanding[i + 1] ?? this.confirmedBytes;
      outstanding.splice(0, i + 2);
      return true;
    }
    return false;
  }
}
