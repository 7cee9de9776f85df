import { describe, expect, test } from '@jest/globals';
import { conflationKey } from '../../src/fan-out/key.js';
import { LastValues } from '../../src/fan-out/last-values.js';
import { type KeptValue, SeriesValues, type StoredValue } from '../../src/fan-out/series-values.js';
import { type Random, seeded } from '../support/random.js';

const SERIES = conflationKey('dev', '1', 'kw');
const ADDRESS = { businessType: 'dev', businessId: '1' };

/** `a3`: the third datum of node a; `a3@7`: which was the seventh to arrive here. */
function value(name: string): StoredValue {
  const [, nodeId = '', sequence, arrival] = /^([a-z])(\d+)(?:@(\d+))?$/.exec(name) ?? [];
  const origin = { nodeId, sequence: Number(sequence) };
  const kept = { json: `${nodeId}${sequence}`, conflationKey: SERIES, origin };
  return arrival === undefined ? kept : { ...kept, arrival: Number(arrival) };
}

/** Of at most ten values. */
function seriesOf(names: string): SeriesValues {
  const series = new SeriesValues(ADDRESS, SERIES, 10);
  for (const each of values(names)) series.push(each);
  return series;
}

const values = (names: string) => names.split(' ').filter(Boolean).map(value);
const named = (kept: readonly KeptValue[]) => kept.map(({ json }) => json).join(' ');

describe('what a store has of a series, and what is known of it', () => {
  // What came after the fifth arrival came live.
  test.each([
    ['nothing known', '', 'a1 a2', 'a1 a2', 'a1 a2'],
    ['nothing stored', 'a1@1', '', 'a1', ''],
    ['the same', 'a1@1 a2@2', 'a1 a2', 'a1 a2', ''],
    ['out of date here', 'a1@1 a2@2', 'a2 a3 a4', 'a1 a2 a3 a4', 'a3 a4'],
    ['nothing in common, out of date here', 'a1@1', 'a7 a8', 'a1 a7 a8', 'a7 a8'],
    ['another producer since', 'a1@1', 'b1 b2', 'a1 b1 b2', 'b1 b2'],
    ['live goes on from it', 'a3@6 a4@7', 'a1 a2 a3', 'a1 a2 a3 a4', ''],
    ['live of the same producer, behind it', 'a4@6', 'a1 a2 a3', 'a1 a2 a3 a4', ''],
    ['live of another producer', 'b1@6', 'a1 a2', 'a1 a2 b1', ''],
    ['known and live', 'a1@1 b1@6', 'a2', 'a1 a2 b1', ''],
    ['known and live of the same producer', 'a1@1 a3@6', 'a2', 'a1 a2 a3', ''],
    ['the store was put back', 'a1@1 a9@2', 'a3 a4', 'a1 a3 a4 a9', ''],
    ['put back, and something live', 'a9@2 a10@6', 'a3', 'a3 a9 a10', ''],
    ['live, and older than what is stored', 'a3@6', 'a5', 'a3 a5', 'a5'],
    ['two producers in turns', 'a1@1 b1@2', 'a1 b1 a2', 'a1 b1 a2', 'a2'],
    ['what arrived by an earlier subscription', 'b4@6 a2@7 a3@8', 'a2 a3 a4', 'b4 a2 a3 a4', 'a4'],
    ['this node has not published its own yet', 'h4@1 h5@2 a6@6', 'h4 a6', 'h4 a6 h5', ''],
    ['two producers in another order', 'b1@6 a1@7', 'a1 b1', 'a1 b1', ''],
    ['two producers, one of them live', 'a1@1 b1@6', 'b1 a2', 'a1 b1 a2', 'a2'],
  ])('%s', (_name, known, stored, joined, news) => {
    const series = seriesOf(known);
    expect(named(series.merge(values(stored), 5))).toBe(news);
    expect(named(series.values)).toBe(joined);
    expect(series.length).toBe(joined.replaceAll(' ', '').length);
  });

  test('what was heard and is not kept any more comes neither again nor in front', () => {
    const series = new SeriesValues(ADDRESS, SERIES, 1);
    for (const name of ['a1', 'b1', 'c1', 'd1', 'a2', 'c2']) series.push(value(name));
    expect(named(series.merge(values('b1'), 0))).toBe('');
    expect(named(series.values)).toBe('c2');
    expect(named(series.merge(values('a2'), 0))).toBe('');
    expect(named(series.merge(values('c1 a1'), 0))).toBe('');
    expect(named(series.merge(values('a3 b1 b2 d1'), 0))).toBe('b2');
    expect(named(series.values)).toBe('b2');
    const isHeard = (name: string) => series.hasHeard(value(name).origin);
    expect(['a3', 'b2', 'c2', 'd1', 'b3', 'e1'].filter(isHeard)).toEqual(['a3', 'b2', 'c2', 'd1']);
  });

  test('the producers of a series that are remembered are bounded', () => {
    const series = new SeriesValues(ADDRESS, SERIES, 1);
    for (let n = 0; n < 1000; n++) series.push({ ...value('a1'), origin: { nodeId: `node ${n}`, sequence: 1 } });
    const heard = Array.from({ length: 1000 }, (_, n) => series.hasHeard({ nodeId: `node ${n}`, sequence: 1 }));
    expect(heard.filter(Boolean)).toHaveLength(17);
    expect(heard.at(-1)).toBe(true);
  });

  test('ten thousand of each are joined', () => {
    const many = Array.from({ length: 10_000 }, (_, n) => value(`a${n + 1}`));
    const series = new SeriesValues(ADDRESS, SERIES, 10_000);
    for (const each of many.slice(0, 9000)) series.push(each);
    expect(series.merge(many.slice(1000), 0)).toHaveLength(1000);
    expect(named(series.values)).toBe(named(many));
  });
});

const keep = (kept: LastValues, name: string) => kept.keep(ADDRESS, value(name));
const create = (history: number, maxSnapshotBytes = 10_000) =>
  new LastValues({ history, maxSnapshotSeries: 10, maxSnapshotBytes });
const all = (kept: LastValues) => named(kept.valuesOf(ADDRESS, 100).flat());

describe('the last values, with a store', () => {
  test('of one producer never take an older value, or the same again', () => {
    const kept = create(3);
    expect(['a1', 'a3', 'a3', 'a2', 'b1', 'a4'].map((name) => keep(kept, name))).toEqual([
      true,
      true,
      false,
      false,
      true,
      true,
    ]);
    expect(all(kept)).toBe('a3 b1 a4');
  });

  test('keep no more than the history, and count what they keep', () => {
    const kept = create(3);
    keep(kept, 'a1');
    expect(named(kept.merge(ADDRESS, values('a2 a3 a4 a5'), 1))).toBe('a2 a3 a4 a5');
    expect([all(kept), kept.byteLength, kept.seriesCount]).toEqual(['a3 a4 a5', 6, 1]);
    expect(keep(kept, 'a5')).toBe(false);
    expect(keep(kept, 'a6')).toBe(true);
  });

  test('stay within their bounds', () => {
    const kept = create(3, 5);
    kept.merge({ businessType: 'dev', businessId: '2' }, [{ ...value('b1'), conflationKey: 'other' }], 0);
    kept.merge(ADDRESS, values('a1 a2'), 0);
    expect([all(kept), kept.byteLength, kept.seriesCount]).toEqual(['a1 a2', 4, 1]);
    kept.merge(ADDRESS, values('a1 a2 a3'), 0);
    expect([kept.byteLength, kept.seriesCount]).toEqual([0, 0]);
  });

  test('an empty answer changes nothing', () => {
    const kept = create(1);
    expect(kept.merge(ADDRESS, [], 0)).toEqual([]);
    expect(kept.seriesCount).toBe(0);
  });
});

/** A store that all producers write to in one order, and a node that hears of it what it wants, in that order. */
class Shared {
  readonly written: StoredValue[] = [];
  private readonly sequences: Record<string, number> = {};
  readonly node: LastValues;
  /** How much of `written` the node has heard, or missed. */
  heard = 0;
  since = 0;
  isCovered = false;
  /** What a client of the node was shown since it came, the snapshot first. */
  shown: string[] | undefined;

  constructor(readonly history: number) {
    this.node = new LastValues({ history, maxSnapshotSeries: 10, maxSnapshotBytes: 100_000 });
  }

  push(nodeId: string): void {
    const sequence = (this.sequences[nodeId] ?? 0) + 1;
    this.sequences[nodeId] = sequence;
    this.written.push(value(`${nodeId}${sequence}`));
  }

  want(): void {
    this.isCovered = true;
    this.since = this.node.arrivals;
    this.heard = this.written.length;
  }

  /** A read is answered behind whatever was sent before it. */
  read(until = this.written.length): void {
    this.hear(this.written.length);
    const news = this.node.merge(ADDRESS, this.written.slice(Math.max(0, until - this.history), until), this.since);
    for (const { json } of news) this.shown?.push(json);
  }

  hear(until: number): void {
    for (; this.heard < until; this.heard++) {
      const heard = this.written[this.heard];
      if (!this.isCovered || heard === undefined || !this.node.keep(ADDRESS, { ...heard })) continue;
      this.shown?.push(heard.json);
    }
  }

  /** From now on everything that is wanted arrives again, and what was sent meanwhile did not. */
  lose(random: Random): void {
    for (let n = random.below(5); n > 0; n--) this.push(random.pick(['a', 'b']));
    this.heard = this.written.length;
    this.since = this.node.arrivals;
  }

  step(event: 'stay' | 'giveUp' | 'lose', random: Random): void {
    if (!this.isCovered) {
      this.want();
      if (random.chance(0.5)) this.push('a');
      this.read();
      this.connect();
    } else if (event === 'giveUp') {
      this.isCovered = false;
      this.shown = undefined;
      this.heard = this.written.length;
    } else if (event === 'lose') {
      this.lose(random);
      if (random.chance(0.5)) this.push('b');
      this.read();
    }
  }

  connect(): void {
    this.shown = this.node.valuesOf(ADDRESS, this.history).flatMap((series) => series.map(({ json }) => json));
  }
}

describe('a node beside a store', () => {
  test(
    'shows the last values, whatever was pushed, lost and given up before',
    seeded((random) => {
      for (let run = 0; run < 300; run++) {
        const shared = new Shared(random.pick([1, 3]));
        for (let step = 0; step < 30; step++) {
          for (let n = random.below(4); n > 0; n--) shared.push(random.pick(['a', 'b', 'c']));
          shared.hear(shared.heard + random.below(shared.written.length - shared.heard + 1));
          shared.step(random.weighted({ stay: 6, giveUp: 2, lose: 2 }), random);
        }
        if (!shared.isCovered) continue;
        shared.hear(shared.written.length);
        const last = named(shared.written.slice(-shared.history));
        const kept = named(shared.node.valuesOf(ADDRESS, shared.history).flat());
        expect(kept).toBe(last);
        expect(isRising(shared.shown ?? [])).toBe(true);
        expect(shared.shown?.at(-1)).toBe(shared.written.at(-1)?.json);
      }
    }),
  );
});

/** Of each producer no value twice, and none behind a newer one. */
function isRising(shown: readonly string[]): boolean {
  const newest: Record<string, number> = {};
  return shown.every((name) => {
    const nodeId = name.slice(0, 1);
    const sequence = Number(name.slice(1));
    const rises = sequence > (newest[nodeId] ?? 0);
    newest[nodeId] = sequence;
    return rises;
  });
}
