import { describe, expect, test } from '@jest/globals';
import type { Principal } from '../../src/access/principal.js';
import { RevocationTable } from '../../src/access/revocation.table.js';

const DAY_MS = 86_400_000;
const NOW_MS = 1_700_000_000_500;

const tableAt = (clock: { ms: number }) => new RevocationTable(DAY_MS, () => clock.ms);
const issuedAt = (ms: number, other: Principal = {}): Principal => ({
  userName: 'ann',
  issuedAt: new Date(ms),
  ...other,
});

describe('RevocationTable', () => {
  test('the later of two revocations counts, in whichever order they come', () => {
    const [early, late] = [
      { subject: 'user:ann', atMs: NOW_MS - 2000 },
      { subject: 'user:ann', atMs: NOW_MS - 1000 },
    ];
    for (const [first, second] of [
      [early, late],
      [late, early],
    ] as const) {
      const table = tableAt({ ms: NOW_MS });
      expect(table.add(first)).toBe(true);
      expect(table.add(second)).toBe(second === late);
      expect(table.add(second)).toBe(false);
      expect(table.isRevoked(issuedAt(NOW_MS - 1500))).toBe(true);
      expect(table.isRevoked(issuedAt(NOW_MS - 500))).toBe(false);
      expect([...table.all()]).toEqual([late]);
    }
  });

  test('one that is over already is not taken', () => {
    const table = tableAt({ ms: NOW_MS });
    expect(table.add({ subject: 'user:ann', atMs: NOW_MS - DAY_MS })).toBe(false);
    expect(table.add({ subject: 'user:ann', atMs: Number.NaN })).toBe(false);
    expect([...table.all()]).toEqual([]);
  });

  test('one of a node whose clock is ahead counts at once', () => {
    const table = tableAt({ ms: NOW_MS });
    table.add({ subject: 'user:ann', atMs: NOW_MS + 60_000 });
    expect(table.isRevoked(issuedAt(NOW_MS + 30_000))).toBe(true);
    expect(table.isRevoked(issuedAt(NOW_MS + 90_000))).toBe(false);
  });

  test('100,000 that are over leave nothing behind', () => {
    const clock = { ms: NOW_MS };
    const table = tableAt(clock);
    for (let n = 0; n < 100_000; n++) table.add({ subject: `token:t${n}`, atMs: NOW_MS });
    clock.ms += DAY_MS;
    table.add({ subject: 'user:ann', atMs: clock.ms });
    const kept = Object.values(table).find((part: unknown) => part instanceof Map) as Map<string, number>;
    expect([...kept.keys()]).toEqual(['user:ann']);
  });
});
