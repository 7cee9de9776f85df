import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import type { Principal } from '../../src/access/principal.js';
import type { Revocations } from '../../src/access/revocations.js';
import { until } from '../support/deadline.js';

export const DAY_MS = 86_400_000;
const NOW_MS = 1_700_000_000_500;

const issuedAt = (ms: number, other: Principal = {}): Principal => ({
  userName: 'ann',
  issuedAt: new Date(ms),
  ...other,
});

export interface RevocationsContract {
  /** A node that remembers for {@link DAY_MS}. */
  readonly open: (now: () => number) => Promise<Revocations>;
  readonly cleanUp?: () => Promise<void>;
  /** Whether other nodes, and those that start later, know what one revoked. */
  readonly isShared: boolean;
}

/** What every backend of {@link Revocations} has to keep. */
export function describeRevocations(name: string, { open, cleanUp, isShared }: RevocationsContract): void {
  let clock: { ms: number };
  let opened: Revocations[];
  const openNode = async (now = () => clock.ms) => {
    const node = await open(now);
    opened.push(node);
    return node;
  };

  beforeEach(() => {
    clock = { ms: NOW_MS };
    opened = [];
  });
  afterEach(async () => {
    await Promise.all(opened.map((node) => node.close()));
    await cleanUp?.();
  });

  describe(`${name}: one node`, () => {
    let revocations: Revocations;
    beforeEach(async () => (revocations = await openNode()));

    test('nobody is revoked at the start', () => {
      expect(revocations.isRevoked({})).toBe(false);
      expect(revocations.isRevoked(issuedAt(0))).toBe(false);
    });

    test('it counts from the call on', async () => {
      const isStored = revocations.add({ userName: 'ann' });
      expect(revocations.isRevoked(issuedAt(NOW_MS))).toBe(true);
      await isStored;
    });

    test('of a user: what was issued before, not what is issued afterwards', async () => {
      await revocations.add({ userName: 'ann' });
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
    ])('credentials that say %s when they were issued stay refused', async (_, principal) => {
      await revocations.add({ userName: 'ann' });
      clock.ms += DAY_MS - 1;
      expect(revocations.isRevoked(principal)).toBe(true);
    });

    test('of one token: that one alone, whenever it says it was issued', async () => {
      await revocations.add({ tokenId: 't1' });
      expect(revocations.isRevoked(issuedAt(0, { tokenId: 't1' }))).toBe(true);
      expect(revocations.isRevoked(issuedAt(NOW_MS + 60_000, { tokenId: 't1' }))).toBe(true);
      expect(revocations.isRevoked({ tokenId: 't1' })).toBe(true);
      expect(revocations.isRevoked(issuedAt(0, { tokenId: 't2' }))).toBe(false);
      expect(revocations.isRevoked(issuedAt(0))).toBe(false);
    });

    test('a user and a token of one name are two', async () => {
      await revocations.add({ tokenId: 'ann' });
      expect(revocations.isRevoked(issuedAt(0))).toBe(false);
      expect(revocations.isRevoked(issuedAt(0, { userName: 'token:ann', tokenId: 'user:ann' }))).toBe(false);
    });

    test('it is remembered as long as a token can be valid, and again from the second time', async () => {
      await revocations.add({ userName: 'ann' });
      clock.ms += DAY_MS - 1;
      expect(revocations.isRevoked(issuedAt(NOW_MS))).toBe(true);
      await revocations.add({ userName: 'ann' });
      clock.ms += DAY_MS - 1;
      expect(revocations.isRevoked(issuedAt(NOW_MS))).toBe(true);
      clock.ms += 1;
      expect(revocations.isRevoked(issuedAt(NOW_MS))).toBe(false);
    });
  });

  if (!isShared) return;

  describe(`${name}: several nodes`, () => {
    test('the others know at once, and tell who wants to hear', async () => {
      const [first, second] = [await openNode(), await openNode()];
      let learned = 0;
      second.onLearned(() => (learned += 1));
      await first.add({ userName: 'ann' });
      await until(() => learned === 1, 'the other has learned it');
      expect(second.isRevoked(issuedAt(NOW_MS))).toBe(true);
      expect(second.isRevoked(issuedAt(NOW_MS + 500))).toBe(false);
    });

    test('time is that of the node that revoked', async () => {
      const [first, second] = [await openNode(() => clock.ms + 10_000), await openNode()];
      let learned = 0;
      second.onLearned(() => (learned += 1));
      await first.add({ userName: 'ann' });
      await until(() => learned === 1, 'the other has learned it');
      for (const node of [first, second, await openNode()]) {
        expect(node.isRevoked(issuedAt(NOW_MS + 9000))).toBe(true);
        expect(node.isRevoked(issuedAt(NOW_MS + 11_000))).toBe(false);
      }
    });

    test('one that starts later knows all of it, also 2,500, after all others have gone', async () => {
      const first = await openNode();
      await Promise.all(Array.from({ length: 2500 }, (_, n) => first.add({ tokenId: `Ω ${n}` })));
      await first.add({ userName: 'ann' });
      await first.close();
      const second = await openNode();
      expect(second.isRevoked(issuedAt(0))).toBe(true);
      for (let n = 0; n < 2500; n++) expect(second.isRevoked({ tokenId: `Ω ${n}` })).toBe(true);
      expect(second.isRevoked({ tokenId: 'Ω 2500' })).toBe(false);
    });

    test('the later of two counts, whoever stores last', async () => {
      const [first, second] = [await openNode(), await openNode(() => clock.ms - 5000)];
      await first.add({ userName: 'ann' });
      await second.add({ userName: 'ann' });
      const third = await openNode();
      expect(third.isRevoked(issuedAt(NOW_MS - 1000))).toBe(true);
    });

    test('what is over is not found again', async () => {
      const first = await openNode();
      await first.add({ userName: 'ann' });
      clock.ms += DAY_MS;
      await first.add({ userName: 'bob' });
      const second = await openNode();
      expect(second.isRevoked(issuedAt(NOW_MS))).toBe(false);
      expect(second.isRevoked(issuedAt(NOW_MS, { userName: 'bob' }))).toBe(true);
    });
  });
}
