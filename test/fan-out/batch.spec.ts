import { describe, expect, test } from '@jest/globals';
import { Batch } from '../../src/fan-out/batch.js';
import { Frame, WireFormat } from '../../src/fan-out/frame.js';
import { MarkKind } from '../../src/fan-out/mark.js';
import { marksOf, parseServerFrames } from '../support/memory.sink.js';
import { datumFrame, valuesIn } from './fixtures.js';

const textsIn = (bytes: Buffer) => parseServerFrames(bytes).map(({ payload }) => payload.toString());
const batchOf = (root: Batch, frames: readonly Frame[]) => frames.reduce((batch, frame) => batch.with(frame), root);

describe('Batch', () => {
  test('keeps frames in order and counts them', () => {
    const frames = [datumFrame('a', 1), datumFrame('b', 2), datumFrame('a', 3)];
    const batch = batchOf(Batch.empty(), frames);
    expect(batch.frames()).toEqual(frames);
    expect(batch.count).toBe(3);
    expect(batch.approximateBytes).toBe(frames.reduce((sum, { approximateBytes }) => sum + approximateBytes, 0));
  });

  test('an empty one has no frames', () => {
    expect(Batch.empty().frames()).toEqual([]);
    expect(Batch.empty().count).toBe(0);
    expect(Batch.empty().joined(WireFormat.plain)).toHaveLength(0);
  });

  test('clients that were offered the same frames hold the same batch and the same bytes', () => {
    const root = Batch.empty();
    const frames = [datumFrame('a', 1), datumFrame('b', 2), datumFrame('c', 3)];
    let one = root;
    let other = root;
    for (const frame of frames) {
      one = one.with(frame);
      other = other.with(frame);
    }
    expect(other).toBe(one);
    expect(other.joined(WireFormat.plain)).toBe(one.joined(WireFormat.plain));
    expect(valuesIn(textsIn(one.joined(WireFormat.plain)))).toEqual(['a1', 'b2', 'c3']);
    expect(one.joined(WireFormat.pushV1)).not.toEqual(one.joined(WireFormat.plain));
  });

  test('a batch that went another way keeps its own frames', () => {
    const root = Batch.empty();
    const [a, b, c] = [datumFrame('a', 1), datumFrame('b', 2), datumFrame('c', 3)];
    const ab = root.with(a).with(b);
    const ac = root.with(a).with(c);
    const onlyC = root.with(c);
    expect(ab.frames()).toEqual([a, b]);
    expect(ac.frames()).toEqual([a, c]);
    expect(onlyC.frames()).toEqual([c]);
  });

  test('a single frame is not copied', () => {
    const frame = datumFrame('a', 1);
    expect(Batch.empty().with(frame).joined(WireFormat.plain)).toBe(frame.bytes(WireFormat.plain));
    expect(Batch.of([frame]).joined(WireFormat.pushV1)).toBe(frame.bytes(WireFormat.pushV1));
  });

  test('the mark of a flush follows the frames, in one buffer for all of the same kind', () => {
    const batch = batchOf(Batch.empty(), [datumFrame('a', 1), datumFrame('b', 2)]);
    const marked = batch.joinedWithMark(WireFormat.plain, MarkKind.ping, 7);
    expect(batch.joinedWithMark(WireFormat.plain, MarkKind.ping, 7)).toBe(marked);
    const frames = parseServerFrames(marked);
    expect(frames).toHaveLength(3);
    expect(marksOf(frames.slice(2))).toEqual([{ by: 'pong', n: 7 }]);
  });

  test('no format, kind or flush gets the bytes of another', () => {
    const batch = batchOf(Batch.empty(), [datumFrame('a', 1), datumFrame('b', 2)]);
    const asked = [WireFormat.plain, WireFormat.pushV1].flatMap((format) =>
      [MarkKind.ping, MarkKind.both, MarkKind.message].map((kind) => ({ format, kind })),
    );
    for (const flushNumber of [1, 2]) {
      for (const { format, kind } of [...asked, ...asked]) {
        const frames = parseServerFrames(batch.joinedWithMark(format, kind, flushNumber));
        const marks = marksOf(frames);
        expect(valuesIn(frames.slice(0, 2).map(({ payload }) => payload.toString()))).toEqual(['a1', 'b2']);
        expect(frames[0]?.payload.toString().includes('rawData')).toBe(format === WireFormat.pushV1);
        expect(marks.map(({ n }) => n)).toEqual(marks.map(() => flushNumber));
        expect(marks.map(({ by }) => by).join()).toBe(['pong', 'message,pong', 'message'][kind]);
      }
    }
  });

  test('conflated: the newest of each series in the place of its oldest, frames without a series stay', () => {
    const texts = [Frame.text('"t1"'), Frame.text('"t1"')];
    const batch = batchOf(Batch.empty(), [
      datumFrame('a', 1),
      ...texts.slice(0, 1),
      datumFrame('b', 2),
      datumFrame('a', 3),
      ...texts.slice(1),
      datumFrame('c', 4),
      datumFrame('a', 5),
    ]);
    const conflated = batch.conflated();
    expect(
      conflated.frames().map((frame) => JSON.parse(textsIn(frame.bytes(WireFormat.plain))[0] ?? '') as unknown),
    ).toMatchObject([{ s: 'a', n: 5 }, 't1', { s: 'b', n: 2 }, 't1', { s: 'c', n: 4 }]);
    expect(batch.conflated()).toBe(conflated);
    expect(batch.count).toBe(7);
  });

  test('conflated: where nothing conflates it is the batch itself', () => {
    const batch = batchOf(Batch.empty(), [datumFrame('a', 1), datumFrame('b', 2)]);
    expect(batch.conflated()).toBe(batch);
  });

  test('survives a million frames', () => {
    const frame = datumFrame('a', 1);
    let batch = Batch.empty();
    for (let n = 0; n < 1_000_000; n++) batch = batch.with(frame);
    expect(batch.frames()).toHaveLength(1_000_000);
    expect(batch.conflated().count).toBe(1);
  });
});
