import { describe, expect, test } from '@jest/globals';
import { keyScopeOf } from '../../src/access/key-claims.js';

describe('the keys of a principal', () => {
  test.each<[claim: string, businessType: string, businessId: string | undefined, isCovered: boolean]>([
    ['meter/5', 'meter', '5', true],
    ['meter/5', 'meter', '50', false],
    ['meter/5', 'meter', undefined, false],
    ['meter/*', 'meter', '5', true],
    ['meter/*', 'meter', undefined, true],
    ['meter/*', 'meters', '5', false],
    ['a%2Fb/c', 'a/b', 'c', true],
    ['a/b/c', 'a', 'b', false],
    ['*/*', 'meter', '5', false],
    ['*', 'meter', '5', false],
    ['meter/%2A', 'meter', '5', false],
    ['meter/%2A', 'meter', undefined, false],
    ['meter/', 'meter', '', false],
    ['meter', 'meter', undefined, false],
    ['%E0%A4%A/5', '%E0%A4%A', '5', false],
    ['计量/五', '计量', '五', true],
  ])('%s covers %s %s: %s', (claim, businessType, businessId, isCovered) => {
    expect(keyScopeOf([claim]).covers(businessType, businessId)).toBe(isCovered);
  });

  test('an empty list covers nothing', () => {
    expect(keyScopeOf([]).covers('meter', '5')).toBe(false);
  });
});
