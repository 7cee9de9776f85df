import { describe, expect, test } from '@jest/globals';
import { AlarmFeed, type AlarmFeedOptions, type AlarmStart } from '../../src/fan-out/alarm.feed.js';
import type { AlarmPage, AlarmSource, LoggedAlarm, Resumption } from '../../src/fan-out/alarm.source.js';
import { Batch } from '../../src/fan-out/batch.js';
import { encodingOf, Frame, WireFormat } from '../../src/fan-out/frame.js';
import { Unacknowledged } from '../../src/fan-out/unacknowledged.js';
import type { Cursor } from '../../src/protocol/cursor.js';
import { CloseCodes } from '../../src/protocol/close-codes.js';

const PAGE_ALARMS = 5;
const EVERYTHING = 1_000_000;

/** A log of short texts `a1`, `a2`, … . Those of an even offset have no severity. */
class TestSource implements AlarmSource {
  epoch = 'e';
  head = 0;
  oldest = 1;
  /** Answers `after` only once `read` was called. */
  isSlow = false;
  private whenRead = new Set<() => void>();

  constructor(count: number) {
    this.head = count;
  }

  alarm(offset: number): LoggedAlarm {
    const severity = offset % 2 === 0 ? undefined : 1;
    return {
      offset,
      address: { businessId: '1', businessType: undefined, severity, orgId: undefined },
      frame: Frame.alarm({ epoch: 'e', offset }, `"a${offset}"`),
    };
  }

  append(): LoggedAlarm {
    this.head += 1;
    return this.alarm(this.head);
  }

  after(offset: number, whenRead: () => void): AlarmPage | undefined {
    if (this.isSlow) {
      this.whenRead.add(whenRead);
      return undefined;
    }
    const first = Math.max(offset + 1, this.oldest);
    const count = Math.max(0, Math.min(PAGE_ALARMS, this.head - first + 1));
    const alarms = Array.from({ length: count }, (_, i) => this.alarm(first + i));
    return {
      alarms,
      end: Math.max(first - 1, alarms.at(-1)?.offset ?? this.head),
      rootAfter: (after) => (after % 3 === 0 ? Batch.empty() : undefined),
    };
  }

  read(): void {
    this.isSlow = false;
    for (const whenRead of this.whenRead) whenRead();
    this.whenRead.clear();
  }

  resume({ epoch, offset }: Cursor): Resumption {
    if (epoch === this.epoch) return { offset, gap: undefined };
    const oldest = `${this.epoch}.${this.oldest}`;
    return { offset: this.oldest - 1, gap: { requested: `${epoch}.${offset}`, oldest, reason: 'epoch' } };
  }

  positionFrame(offset: number): Frame {
    return Frame.position(`at ${offset}`, offset);
  }

  gapFrame(afterOffset: number, oldestOffset: number): Frame {
    return Frame.text(`gap ${afterOffset} ${oldestOffset}`);
  }
}

interface Given extends Partial<Omit<AlarmFeedOptions, 'encoding' | 'source'>> {
  readonly log?: number;
  readonly start?: number;
  readonly prelude?: AlarmStart['prelude'];
}

function feedOf({ log = 0, start = log, prelude = [], format = WireFormat.pushV1, ...options }: Given = {}) {
  const source = new TestSource(log);
  let wakes = 0;
  const feed = new AlarmFeed(
    {
      encoding: encodingOf(format, false),
      format,
      maxOutboxBytes: 100,
      source,
      accepts: () => true,
      unacknowledged: undefined,
      ...options,
    },
    { epoch: source.epoch, position: start, prelude },
    () => (wakes += 1),
  );
  return { feed, source, wakes: () => wakes };
}

/** What the frames say, alarms without quotes. */
const wordsOf = (frames: readonly Frame[]) => frames.map(({ plainText }) => plainText.replaceAll('"', ''));
const wordOf = (frame: Frame | undefined) => (frame === undefined ? undefined : wordsOf([frame])[0]);
const takenFrom = (feed: AlarmFeed, maxBytes = EVERYTHING) =>
  wordsOf(feed.take(maxBytes).flatMap((batch) => batch.frames()));
const bytesOf = (frame: Frame) => frame.bytes(encodingOf(WireFormat.pushV1, false)).length;

/** Everything, in as many flushes as that takes. */
function drained(feed: AlarmFeed): string[] {
  const words: string[] = [];
  for (let flush = 0; flush < 2000 && !feed.isEmpty; flush++) words.push(...takenFrom(feed));
  return words;
}

const preludeOf = (...offsets: number[]) => offsets.map((offset) => new TestSource(0).alarm(offset));
const onlyEven = ({ address }: LoggedAlarm) => address.severity === undefined;

describe('an alarm client at the head', () => {
  test('is offered each alarm once', () => {
    const { feed, source } = feedOf({ log: 3 });
    expect(feed.isBehind).toBe(false);
    const alarm = source.append();
    expect(wordOf(feed.next(alarm))).toBe('a4');
    expect(feed.next(alarm)).toBeUndefined();
    expect(feed.toldOffset).toBe(4);
    expect(feed.isEmpty).toBe(true);
  });

  test('that knows more than this node gets what it does not know, and never goes back', () => {
    const { feed, source } = feedOf({ log: 3, start: 5 });
    expect(feed.isBehind).toBe(false);
    expect(wordOf(feed.heartbeat())).toBe('at 5');
    expect([1, 2, 3].map(() => wordOf(feed.next(source.append())))).toEqual([undefined, undefined, 'a6']);
  });

  test('hears of alarms that are not for it after a thousand, and with a heartbeat', () => {
    const { feed, source } = feedOf({ accepts: () => false });
    const heard = Array.from({ length: 2500 }, () => wordOf(feed.next(source.append()))).filter(Boolean);
    expect(heard).toEqual(['at 1000', 'at 2000']);
    expect(wordOf(feed.heartbeat())).toBe('at 2500');
    expect(feed.toldOffset).toBe(2500);
  });

  test('on the plain wire hears nothing of them', () => {
    const { feed, source } = feedOf({ accepts: () => false, format: WireFormat.plain });
    expect(Array.from({ length: 1500 }, () => feed.next(source.append())).filter(Boolean)).toEqual([]);
  });
});

describe('an alarm client that cannot be written', () => {
  test('keeps its place, and reads the alarms again from the log', () => {
    const { feed, source } = feedOf();
    const offered = [1, 2, 3].map(() => feed.next(source.append()));
    for (const frame of offered) if (frame !== undefined) feed.add(frame);
    expect(feed).toMatchObject({ isBehind: true, behindBy: 3, byteLength: 0, isEmpty: false, toldOffset: 0 });
    source.append();
    expect(feed.behindBy).toBe(4);
    expect(drained(feed)).toEqual(['a1', 'a2', 'a3', 'a4']);
    expect(feed).toMatchObject({ isBehind: false, behindBy: 0, isEmpty: true, toldOffset: 4 });
  });

  test('of a place that was not written it is told again with what follows', () => {
    const { feed, source } = feedOf({ log: 7 });
    feed.add(feed.heartbeat());
    expect(feed).toMatchObject({ isBehind: true, behindBy: 0 });
    source.append();
    expect(drained(feed)).toEqual(['a8']);
  });

  test('gets other messages first', () => {
    const { feed, source } = feedOf();
    const alarm = feed.next(source.append());
    feed.add(Frame.text('one'));
    if (alarm !== undefined) feed.add(alarm);
    feed.add(Frame.text('two'));
    expect(feed.byteLength).toBe(10);
    expect(takenFrom(feed)).toEqual(['one', 'two', 'a1']);
    expect(feed.byteLength).toBe(0);
  });

  test('is closed where other messages are over the budget, but not for a single one', () => {
    const { feed } = feedOf({ maxOutboxBytes: 10 });
    feed.add(Frame.text('x'.repeat(50)));
    expect(feed.settle()).toBeUndefined();
    feed.add(Frame.text('y'));
    expect(feed.settle()).toBe(CloseCodes.outboxFull);
    expect(takenFrom(feed)).toHaveLength(2);
    expect(feed.settle()).toBeUndefined();
  });
});

describe('an alarm client that is behind', () => {
  test('is fed page by page up to the head', () => {
    const { feed } = feedOf({ log: 12, start: 0 });
    expect(feed.canTakeMore).toBe(true);
    expect(takenFrom(feed)).toEqual(['a1', 'a2', 'a3', 'a4', 'a5']);
    expect(feed).toMatchObject({ canTakeMore: true, behindBy: 7, toldOffset: 5 });
    expect(takenFrom(feed)).toHaveLength(5);
    expect(takenFrom(feed)).toEqual(['a11', 'a12']);
    expect(feed).toMatchObject({ canTakeMore: false, isEmpty: true });
  });

  test('takes what fits, and at least one', () => {
    const { feed, source } = feedOf({ log: 4, start: 0 });
    const two = bytesOf(source.alarm(1).frame) + bytesOf(source.alarm(2).frame);
    expect(takenFrom(feed, 1)).toEqual(['a1']);
    expect(takenFrom(feed, two - 1)).toEqual(['a2']);
    expect(takenFrom(feed, two)).toEqual(['a3', 'a4']);
    expect(feed.isEmpty).toBe(true);
  });

  test('waits for the log to be read', () => {
    const { feed, source, wakes } = feedOf({ log: 2, start: 0 });
    source.isSlow = true;
    feed.add(Frame.text('text'));
    expect(takenFrom(feed)).toEqual(['text']);
    expect(feed).toMatchObject({ canTakeMore: false, isEmpty: false });
    expect(wakes()).toBe(0);
    source.read();
    expect(wakes()).toBe(1);
    expect(feed.canTakeMore).toBe(true);
    expect(takenFrom(feed)).toEqual(['a1', 'a2']);
  });

  test('passes over what is not for it', () => {
    const { feed } = feedOf({ log: 12, start: 0, accepts: onlyEven });
    expect(drained(feed)).toEqual(['a2', 'a4', 'a6', 'a8', 'a10', 'a12']);
  });

  test('hears of its place after a thousand that are not for it', () => {
    const { feed } = feedOf({ log: 2500, start: 100, accepts: () => false });
    expect(drained(feed)).toEqual(['at 1100', 'at 2100']);
    const plain = feedOf({ log: 2500, start: 100, accepts: () => false, format: WireFormat.plain });
    expect(drained(plain.feed)).toEqual([]);
    expect(plain.feed.isEmpty).toBe(true);
  });

  test('is told a gap before what follows it', () => {
    const { feed, source } = feedOf({ log: 12, start: 2 });
    source.oldest = 3;
    expect(takenFrom(feed)).toEqual(['a3', 'a4', 'a5', 'a6', 'a7']);
    source.oldest = 11;
    expect(takenFrom(feed)).toEqual(['gap 7 11', 'a11', 'a12']);
    expect(feed.isEmpty).toBe(true);
  });

  test('is told a gap also where nothing is left', () => {
    const { feed, source } = feedOf({ log: 12, start: 2 });
    source.oldest = 13;
    expect(takenFrom(feed)).toEqual(['gap 2 13']);
    expect(feed).toMatchObject({ isEmpty: true, toldOffset: 12 });
    expect(wordOf(feed.next(source.append()))).toBe('a13');
  });

  test('that cannot be told of a gap is closed', () => {
    const { feed, source } = feedOf({ log: 12, start: 2, format: WireFormat.plain });
    expect(feed.settle()).toBeUndefined();
    source.oldest = 9;
    expect(takenFrom(feed)).toEqual([]);
    expect(feed.settle()).toBe(CloseCodes.overtaken);
  });
});

describe('what comes before the place', () => {
  test('is sent first, then the place, then what follows', () => {
    const { feed } = feedOf({ log: 9, start: 7, prelude: preludeOf(2, 4) });
    expect(takenFrom(feed)).toEqual(['a2', 'a4', 'at 7', 'a8', 'a9']);
    expect(feed).toMatchObject({ isEmpty: true, toldOffset: 9 });
  });

  test('makes a client at the head wait', () => {
    const { feed, source } = feedOf({ log: 7, prelude: preludeOf(2) });
    expect(feed).toMatchObject({ isBehind: true, isEmpty: false, canTakeMore: true });
    source.append();
    expect(drained(feed)).toEqual(['a2', 'at 7', 'a8']);
  });

  test('on the plain wire is sent without the place', () => {
    const { feed } = feedOf({ log: 7, prelude: preludeOf(2, 4), format: WireFormat.plain });
    expect(drained(feed)).toEqual(['a2', 'a4']);
  });

  test('is sent in parts, and only what is for the client', () => {
    const { feed } = feedOf({ log: 7, prelude: preludeOf(1, 2, 3, 4), accepts: onlyEven });
    expect(takenFrom(feed, 1)).toEqual(['a2']);
    expect(takenFrom(feed, 1)).toEqual(['a4', 'at 7']);
    expect(feed.isEmpty).toBe(true);
  });
});

describe('a log that begins anew', () => {
  function begunAnew(given: Given) {
    const fed = feedOf({ log: 7, ...given });
    fed.source.epoch = 'f';
    fed.source.head = 2;
    return fed;
  }

  test('is not read before the client has begun anew too; other messages are sent', () => {
    const { feed } = begunAnew({ start: 3 });
    feed.add(Frame.text('text'));
    expect(takenFrom(feed)).toEqual(['text']);
    expect(feed.isOfAnotherEpoch).toBe(true);
    feed.beginAnew();
    expect(feed.isOfAnotherEpoch).toBe(false);
  });

  test.each<[string, Given]>([
    ['at the head', {}],
    ['that is behind', { start: 7 - 3 }],
    ['that was to be sent conditions first', { start: 7, prelude: preludeOf(2) }],
  ])('is told to a client %s, as of what it knows', (_, given) => {
    const { feed } = begunAnew(given);
    const known = given.prelude === undefined ? (given.start ?? 7) : 1;
    feed.beginAnew();
    const gap = { event: 'gap', data: { requested: `e.${known}`, oldest: 'f.1', reason: 'epoch' } };
    expect(drained(feed)).toEqual([JSON.stringify(gap).replaceAll('"', ''), 'a1', 'a2']);
    expect(feed).toMatchObject({ isBehind: false, toldOffset: 2 });
  });

  test('closes a client that cannot be told, before anything else is sent', () => {
    const { feed } = begunAnew({ format: WireFormat.plain });
    expect(feed.age()).toBeUndefined();
    feed.beginAnew();
    expect(feed.age()).toBe(CloseCodes.overtaken);
  });

  test('lets a durable subscription be sent as many as before', () => {
    const unacknowledged = new Unacknowledged(2);
    const { feed, source } = feedOf({ unacknowledged });
    for (let n = 0; n < 3; n++) feed.next(source.append());
    expect(unacknowledged.isFull).toBe(true);
    source.epoch = 'f';
    feed.beginAnew();
    expect(unacknowledged.isFull).toBe(false);
    expect(takenFrom(feed).slice(1)).toEqual(['a1', 'a2']);
  });
});

describe('a durable subscription', () => {
  test('at the head is sent so many, and the next is not offered', () => {
    const unacknowledged = new Unacknowledged(2);
    const { feed, source } = feedOf({ unacknowledged });
    expect([1, 2, 3].map(() => wordOf(feed.next(source.append())))).toEqual(['a1', 'a2', undefined]);
    expect(feed).toMatchObject({ isBehind: true, behindBy: 1, toldOffset: 2, canTakeMore: false });
    expect(takenFrom(feed)).toEqual([]);
    unacknowledged.acknowledge(1);
    expect(feed.canTakeMore).toBe(true);
    expect(drained(feed)).toEqual(['a3']);
  });

  test('behind the head is sent so many', () => {
    const unacknowledged = new Unacknowledged(3);
    const { feed } = feedOf({ log: 12, start: 0, accepts: onlyEven, unacknowledged });
    expect(takenFrom(feed)).toEqual(['a2', 'a4']);
    expect(takenFrom(feed)).toEqual(['a6']);
    expect(takenFrom(feed)).toEqual([]);
    unacknowledged.acknowledge(4);
    expect(takenFrom(feed)).toEqual(['a8', 'a10']);
  });

  test('what was offered and not written counts once', () => {
    const unacknowledged = new Unacknowledged(2);
    const { feed, source } = feedOf({ unacknowledged });
    const offered = [1, 2].map(() => feed.next(source.append()));
    for (const frame of offered) if (frame !== undefined) feed.add(frame);
    expect(drained(feed)).toEqual(['a1', 'a2']);
    expect(unacknowledged.isFull).toBe(true);
  });

  test('one that waits gets other messages', () => {
    const unacknowledged = new Unacknowledged(1);
    const { feed } = feedOf({ log: 5, start: 0, unacknowledged });
    expect(takenFrom(feed)).toEqual(['a1']);
    feed.add(Frame.text('text'));
    expect(feed.canTakeMore).toBe(true);
    expect(takenFrom(feed)).toEqual(['text']);
  });
});
