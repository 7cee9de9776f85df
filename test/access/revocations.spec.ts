import { describe, expect, test } from '@jest/globals';
import type { Principal } from '../../src/access/principal.js';
import { Revocations } from '../../src/access/revocations.js';

const DAY_MS = 86_400_000;
const NOW_MS = 1_700_000_000_500;

function revocationsAt(clock: { ms: number }): Revocations {
  return new Revocations(DAY_MS, () => clock.ms);
}

const issuedAt = (ms: number, other: Principal = {}): Principal => ({
  userName: 'ann',
  issuedAt: new Date(ms),
  ...other,
});

describe('Revocations', () => {
  test('nobody is revoked at the start', () => {
    const revocations = revocationsAt({ ms: NOW_MS });
    expect(revocations.isRevoked({})).toBe(false);
    expect(revocations.isRevoked(issuedAt(0))).toBe(false);
  });

  test('of a user: what was issued before, not what is issued afterwards', () => {
    const revocations = revocationsAt({ ms: NOW_MS });
    revocations.add({ userName: 'ann' });
    expect(revocations.isRevoked(issuedAt(NOW_MS - 60_000))).toBe(true);
    // The second in which it was revoked.
    expect(revocations.isRevoked(issuedAt(NOW_MS - 500))).toBe(true);
    expect(revocations.isRevoked(issuedAt(NOW_MS + 500))).toBe(false);
    expect(revocations.isRevoked(issuedAt(0, { userName: 'bob' }))).toBe(false);
    expect(revocations.isRevoked(issuedAt(0, { userName: 'ann2' }))).toBe(false);
  });

  test.each<[string, Principal]>([
    ['not at all', { userName: 'ann' }],
    ['with a date that is none', { userName: 'ann', issuedAt: new Date(Number.NaN) }],
  ])('credentials that say %s when they were issued stay refused', (_what, principal) => {
    const clock = { ms: NOW_MS };
    const revocations = revocationsAt(clock);
    revocations.add({ userName: 'ann' });
    clock.ms += DAY_MS - 1;
    expect(revocations.isRevoked(principal)).toBe(true);
  });

  test('of one token: that one alone, whenever it says it was issued', () => {
    const revocations = revocationsAt({ ms: NOW_MS });
    revocations.add({ tokenId: 't1' });
    expect(revocations.isRevoked(issuedAt(0, { tokenId: 't1' }))).toBe(true);
    expect(revocations.isRevoked(issuedAt(NOW_MS + 60_000, { tokenId: 't1' }))).toBe(true);
    expect(revocations.isRevoked({ tokenId: 't1' })).toBe(true);
    expect(revocations.isRevoked(issuedAt(0, { tokenId: 't2' }))).toBe(false);
    expect(revocations.isRevoked(issuedAt(0))).toBe(false);
  });

  test('a user and a token of one name are two', () => {
    const revocations = revocationsAt({ ms: NOW_MS });
    revocations.add({ tokenId: 'ann' });
    expect(revocations.isRevoked(issuedAt(0))).toBe(false);
    expect(revocations.isRevoked(issuedAt(0, { userName: 'token:ann', tokenId: 'user:ann' }))).toBe(false);
  });

  test('it is remembered as long as a token can be valid, and again from the second time', () => {
    const clock = { ms: NOW_MS };
    const revocations = revocationsAt(clock);
    revocations.add({ userName: 'ann' });
    clock.ms += DAY_MS - 1;
    expect(revocations.isRevoked(issuedAt(NOW_MS))).toBe(true);
    revocations.add({ userName: 'ann' });
    clock.ms += DAY_MS - 1;
    expect(revocations.isRevoked(issuedAt(NOW_MS))).toBe(true);
    clock.ms += 1;
    expect(revocations.isRevoked(issuedAt(NOW_MS))).toBe(false);
  });

  test('100,000 that are over leave nothing behind', () => {
    const clock = { ms: NOW_MS };
    const revocations = revocationsAt(clock);
    for (let n = 0; n < 100_000; n++) revocations.add({ tokenId: `t${n}` });
    clock.ms += DAY_MS;
    revocations.add({ userName: 'ann' });
    const kept = Object.values(revocations).find((part: unknown) => part instanceof Map) as Map<string, number>;
    expect([...kept.keys()]).toEqual(['user:ann']);
  });
});
