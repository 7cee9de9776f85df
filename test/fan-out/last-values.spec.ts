import { describe, expect, test } from '@jest/globals';
import { conflationKey } from '../../src/fan-out/key.js';
import { type LastValuesOptions, LastValues } from '../../src/fan-out/last-values.js';
import { seeded } from '../support/random.js';

const AMPLE: LastValuesOptions = { history: 3, maxSnapshotSeries: 100, maxSnapshotBytes: 10_000 };

const at = (businessType: string, businessId: string) => ({ businessType, businessId });

class TestValues {
  readonly values: LastValues;

  constructor(options: Partial<LastValuesOptions> = {}) {
    this.values = new LastValues({ ...AMPLE, ...options });
  }

  keep(businessType: string, businessId: string, series: string, json: string): void {
    const key = conflationKey(businessType, businessId, series);
    this.values.keep(at(businessType, businessId), { json, conflationKey: key });
  }

  /** The JSON of each series. */
  of(businessType: string, businessId: string, history = 1): string[][] {
    return this.values.valuesOf(at(businessType, businessId), history).map((series) => series.map(({ json }) => json));
  }
}

describe('the last values', () => {
  test('are those of each series, in order, no more than asked for and no more than kept', () => {
    const values = new TestValues();
    for (const json of ['1', '2', '3', '4', '5']) values.keep('dev', '1', 'a', json);
    values.keep('dev', '1', 'b', '6');
    expect(values.of('dev', '1', 1)).toEqual([['5'], ['6']]);
    expect(values.of('dev', '1', 2)).toEqual([['4', '5'], ['6']]);
    expect(values.of('dev', '1', 100)).toEqual([['3', '4', '5'], ['6']]);
  });

  test('carry the key that later values replace them by', () => {
    const values = new TestValues();
    values.keep('dev', '1', 'a', '1');
    expect(values.values.valuesOf(at('dev', '1'), 1)).toEqual([
      [{ json: '1', conflationKey: conflationKey('dev', '1', 'a') }],
    ]);
  });

  test('of an address that nobody pushed to are none', () => {
    const values = new TestValues();
    values.keep('dev', '1', 'a', '1');
    for (const [type, id] of [
      ['dev', '10'],
      ['de', '1'],
      ['1', 'dev'],
      ['other', '*'],
    ] as const)
      expect(values.of(type, id)).toEqual([]);
  });

  test.each(['__proto__', 'constructor', '设备'])('of a type and an id named %s are told apart from others', (name) => {
    const values = new TestValues();
    expect(values.of(name, name)).toEqual([]);
    values.keep(name, name, name, '1');
    values.keep('dev', name, name, '2');
    expect(values.of(name, name)).toEqual([['1']]);
    expect(values.of(name, '*')).toEqual([['1']]);
  });

  test('of a whole type are those of all its ids', () => {
    const values = new TestValues();
    values.keep('dev', '1', 'a', '1');
    values.keep('dev', '2', 'a', '2');
    values.keep('dev', '2', 'b', '3');
    values.keep('other', '1', 'a', '4');
    expect(values.of('dev', '*')).toEqual([['1'], ['2'], ['3']]);
  });

  test('are not changed by what is pushed later', () => {
    const values = new TestValues();
    values.keep('dev', '1', 'a', '1');
    const before = values.values.valuesOf(at('dev', '1'), 3);
    values.keep('dev', '1', 'a', '2');
    expect(before.flat().map(({ json }) => json)).toEqual(['1']);
  });
});

describe('the bounds', () => {
  test('over the count the least recently pushed series goes', () => {
    const values = new TestValues({ maxSnapshotSeries: 2 });
    values.keep('dev', '1', 'a', '1');
    values.keep('dev', '2', 'a', '2');
    values.keep('dev', '1', 'a', '3');
    values.keep('dev', '3', 'a', '4');
    expect(values.values.seriesCount).toBe(2);
    expect(values.of('dev', '2')).toEqual([]);
    expect(values.of('dev', '1', 3)).toEqual([['1', '3']]);
    expect(values.of('dev', '*')).toEqual([['3'], ['4']]);
  });

  test('to be read does not keep a series', () => {
    const values = new TestValues({ maxSnapshotSeries: 2 });
    values.keep('dev', '1', 'a', '1');
    values.keep('dev', '2', 'a', '2');
    expect(values.of('dev', '1')).toEqual([['1']]);
    values.keep('dev', '3', 'a', '3');
    expect(values.of('dev', '1')).toEqual([]);
  });

  test('over the bytes as many of the least recently pushed go as have to', () => {
    const values = new TestValues({ maxSnapshotBytes: 100 });
    values.keep('dev', '1', 'a', 'x'.repeat(30));
    values.keep('dev', '2', 'a', 'x'.repeat(30));
    values.keep('dev', '3', 'a', 'x'.repeat(30));
    expect(values.values.byteLength).toBe(90);
    values.keep('dev', '4', 'a', 'x'.repeat(50));
    expect(values.values.byteLength).toBe(80);
    expect(
      values
        .of('dev', '*')
        .flat()
        .map(({ length }) => length),
    ).toEqual([30, 50]);
  });

  test('a value that is larger than all there may be is not kept', () => {
    const values = new TestValues({ maxSnapshotBytes: 100 });
    values.keep('dev', '1', 'a', 'x'.repeat(101));
    expect([values.values.seriesCount, values.values.byteLength]).toEqual([0, 0]);
    values.keep('dev', '1', 'a', '1');
    expect(values.of('dev', '1')).toEqual([['1']]);
  });

  test('what falls out of the history costs nothing any more', () => {
    const values = new TestValues({ history: 2 });
    for (let n = 0; n < 1000; n++) values.keep('dev', '1', 'a', 'x'.repeat(10));
    expect(values.values.byteLength).toBe(20);
  });

  test(
    'hold whatever is pushed, and what is kept is what a list of all pushes says',
    seeded((random) => {
      const options = { history: 3, maxSnapshotSeries: 12, maxSnapshotBytes: 300 };
      const values = new TestValues(options);
      let model: { address: string; series: string; values: string[] }[] = [];
      for (let n = 0; n < 5000; n++) {
        const type = random.pick(['dev', 'de']);
        const id = random.pick(['1', '2', '3']);
        const series = random.pick(['', 'a', 'b', 'c']);
        const json = `${n}${'x'.repeat(random.below(random.chance(0.02) ? 320 : 20))}`;
        values.keep(type, id, series, json);
        const address = `${type}/${id}`;
        const known = model.find((each) => each.address === address && each.series === series);
        const kept = [...(known?.values ?? []), json].slice(-options.history);
        model = [...model.filter((each) => each !== known), { address, series, values: kept }];
        const bytes = () => model.flatMap((each) => each.values).join('').length;
        while (model.length > options.maxSnapshotSeries || bytes() > options.maxSnapshotBytes) model.shift();
        expect(values.values.seriesCount).toBe(model.length);
        expect(values.values.byteLength).toBe(bytes());
        const wanted = model.filter((each) => each.address === address).map((each) => each.values);
        const found = values.of(type, id, options.history);
        expect(found.toSorted(byNewest)).toEqual(wanted.toSorted(byNewest));
      }
    }),
  );
});

function byNewest(one: string[], other: string[]): number {
  return Number.parseInt(one.at(-1) ?? '', 10) - Number.parseInt(other.at(-1) ?? '', 10);
}
