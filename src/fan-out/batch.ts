import { ConflatedLine } from './conflated.line.js';
import type { Encoding, Frame } from './frame.js';
import { MARK_KINDS, type MarkKind, markBytes } from './mark.js';

/**
 * A sequence of frames, as a path back to the first: what a client is to be written at the next flush. Clients that
 * were offered the same frames hold the same Batch, so an offer to a client is one pointer, and what they are written
 * is joined once for all of them.
 *
 * Frames are routed one after the other, each at most once to a client. So whoever holds this batch and is offered a
 * frame is offered the newest one, and remembering a single successor finds every batch that can be shared.
 */
export class Batch {
  private successor: Batch | undefined;
  private conflatedBatch: Batch | undefined;
  private joinedBytes: (Buffer | undefined)[] | undefined;
  private markedBytes: { flushNumber: number; bytes: (Buffer | undefined)[] } | undefined;

  private constructor(
    private readonly previous: Batch | undefined,
    private readonly frame: Frame | undefined,
    readonly count: number,
    /** Sum of the frames' {@link Frame.approximateBytes}. */
    readonly approximateBytes: number,
  ) {}

  static empty(): Batch {
    return new Batch(undefined, undefined, 0, 0);
  }

  static of(frames: readonly Frame[]): Batch {
    return frames.reduce((batch, frame) => batch.with(frame), Batch.empty());
  }

  /** This batch and one frame more. */
  with(frame: Frame): Batch {
    const successor = this.successor;
    if (successor !== undefined && successor.frame === frame) return successor;
    return (this.successor = new Batch(this, frame, this.count + 1, this.approximateBytes + frame.approximateBytes));
  }

  /** The frames, oldest first. */
  frames(): Frame[] {
    const frames: Frame[] = [];
    for (let batch = this.previous, frame = this.frame; frame !== undefined; batch = batch?.previous) {
      frames.push(frame);
      frame = batch?.frame;
    }
    return frames.toReversed();
  }

  /** The newest frame of each series, in the place of its oldest; frames without a series stay. Made once. */
  conflated(): Batch {
    return (this.conflatedBatch ??= conflate(this));
  }

  /** All frames in one buffer, made once for all who share it. */
  joined(encoding: Encoding): Buffer {
    return ((this.joinedBytes ??= [])[encoding] ??= joinFrames(this.frames(), encoding));
  }

  /** As {@link joined}, and behind it the mark of this flush. */
  joinedWithMark(encoding: Encoding, kind: MarkKind, flushNumber: number): Buffer {
    if (this.markedBytes?.flushNumber !== flushNumber) this.markedBytes = { flushNumber, bytes: [] };
    const slot = encoding * MARK_KINDS + kind;
    return (this.markedBytes.bytes[slot] ??= Buffer.concat([this.joined(encoding), markBytes(kind, flushNumber)]));
  }
}

/** The frames' bytes in one buffer; a single frame is not copied. */
function joinFrames(frames: readonly Frame[], encoding: Encoding): Buffer {
  const [first] = frames;
  if (frames.length === 1 && first !== undefined) return first.bytes(encoding);
  return Buffer.concat(frames.map((frame) => frame.bytes(encoding)));
}

function conflate(batch: Batch): Batch {
  const line = new ConflatedLine();
  for (const frame of batch.frames()) line.conflate(frame, 0);
  if (line.length === batch.count) return batch;
  return Batch.of(line.frames());
}
