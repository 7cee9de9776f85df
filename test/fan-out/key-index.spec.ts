import { describe, expect, test } from '@jest/globals';
import { KeyIndex } from '../../src/fan-out/key-index.js';

const at = (businessType: string, businessId: string) => ({ businessType, businessId });

describe('KeyIndex', () => {
  test('finds exactly those of the address', () => {
    const index = new KeyIndex<string>();
    index.add('one', at('dev', '1'));
    index.add('ten', at('dev', '10'));
    index.add('other', at('host', '1'));
    expect([...(index.exact('dev', '1') ?? [])]).toEqual(['one']);
    expect([...(index.exact('dev', '10') ?? [])]).toEqual(['ten']);
    expect([...(index.exact('dev', '100') ?? [])]).toEqual([]);
    expect([...(index.exact('de', 'v1') ?? [])]).toEqual([]);
  });

  test('keeps those of the whole type apart', () => {
    const index = new KeyIndex<string>();
    index.add('wide', at('dev', '*'));
    index.add('one', at('dev', '1'));
    expect([...(index.wide('dev') ?? [])]).toEqual(['wide']);
    expect([...(index.exact('dev', '1') ?? [])]).toEqual(['one']);
    expect([...(index.exact('dev', '*') ?? [])]).toEqual([]);
  });

  test('ofType finds everybody who subscribed to something of the type', () => {
    const index = new KeyIndex<string>();
    index.add('a', at('dev', '1'));
    index.add('a', at('dev', '2'));
    index.add('b', at('dev', '*'));
    index.add('c', at('host', '1'));
    expect(new Set([...index.ofType('dev')].flatMap((set) => [...set]))).toEqual(new Set(['a', 'b']));
    expect([...index.ofType('none')]).toEqual([]);
  });

  test.each([
    ['exact', at('dev', '1'), 'dev', '1', true],
    ['another id', at('dev', '1'), 'dev', '10', false],
    ['another type', at('dev', '1'), 'host', '1', false],
    ['wide', at('dev', '*'), 'dev', '1', true],
    ['wide of another type', at('dev', '*'), 'host', '1', false],
    ['any id of the type', at('dev', '1'), 'dev', undefined, true],
    ['any id of the type, wide', at('dev', '*'), 'dev', undefined, true],
    ['any id of another type', at('dev', '1'), 'host', undefined, false],
  ])('matches: %s', (_, subscription, businessType, businessId, isMatched) => {
    const index = new KeyIndex<string>();
    index.add('c', subscription);
    expect(index.matches('c', businessType, businessId)).toBe(isMatched);
    expect(index.matches('stranger', businessType, businessId)).toBe(false);
  });

  test('adding twice is told, and one removal is enough', () => {
    const index = new KeyIndex<string>();
    expect(index.add('c', at('dev', '1'))).toBe(true);
    expect(index.add('c', at('dev', '1'))).toBe(false);
    expect(index.countOf('c')).toBe(1);
    expect(index.remove('c', at('dev', '1'))).toBe(true);
    expect(index.remove('c', at('dev', '1'))).toBe(false);
    expect(index.exact('dev', '1')?.size ?? 0).toBe(0);
  });

  test('tells the subscriptions of a client in their order', () => {
    const index = new KeyIndex<string>();
    const keys = [at('dev', '2'), at('dev', '*'), at('dev', '1')];
    for (const key of keys) index.add('c', key);
    expect(index.subscriptionsOf('c')).toEqual(keys);
    expect(index.has('c', at('dev', '*'))).toBe(true);
    expect(index.has('c', at('dev', '3'))).toBe(false);
    expect(index.subscriptionsOf('stranger')).toEqual([]);
  });

  test('keeps its own copy of an address', () => {
    const index = new KeyIndex<string>();
    const key = at('dev', '1');
    index.add('c', key);
    key.businessId = '2';
    index.removeAll('c');
    expect(index.typeCount).toBe(0);
  });

  test('is empty when the last client is gone, whichever way it went', () => {
    const index = new KeyIndex<string>();
    for (let n = 0; n < 100; n++) {
      const client = `c${n}`;
      for (const key of [at('dev', `${n % 10}`), at('dev', '*'), at(`t${n}`, '1')]) index.add(client, key);
      if (n % 2 === 0) for (const key of index.subscriptionsOf(client)) index.remove(client, key);
      else index.removeAll(client);
      expect(index.countOf(client)).toBe(0);
    }
    expect(index.typeCount).toBe(0);
  });
});
