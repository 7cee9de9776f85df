import { describe, expect, test } from '@jest/globals';
import { type ConnectionLimitOptions, ConnectionLimits } from '../../src/access/connection-limits.js';

const limitsOf = (options: Partial<ConnectionLimitOptions>) =>
  new ConnectionLimits({
    maxConnections: 1000,
    maxConnectionsPerIp: 1000,
    maxConnectionsPerUser: 1000,
    maxUpgradesPerSecond: 1000,
    ...options,
  });

describe('ConnectionLimits', () => {
  test('says which limit is reached, and takes no place then', () => {
    const limits = limitsOf({ maxConnections: 3, maxConnectionsPerIp: 2 });
    expect(limits.acquire('a')).toBeUndefined();
    expect(limits.acquire('a')).toBeUndefined();
    expect(limits.acquire('a')).toBe('address');
    expect(limits.acquire('b')).toBeUndefined();
    expect(limits.acquire('b')).toBe('total');
    expect(limits.acquire('c')).toBe('total');
    expect(limits.count).toBe(3);
  });

  test('a released place can be taken again', () => {
    const limits = limitsOf({ maxConnections: 2, maxConnectionsPerIp: 1 });
    limits.acquire('a');
    expect(limits.acquire('a')).toBe('address');
    limits.release('a');
    expect(limits.count).toBe(0);
    expect(limits.acquire('a')).toBeUndefined();
  });

  test('both limits at once: the address is the one to do something about', () => {
    const limits = limitsOf({ maxConnections: 1, maxConnectionsPerIp: 1 });
    limits.acquire('a');
    expect(limits.acquire('a')).toBe('address');
    expect(limits.acquire('b')).toBe('total');
  });

  test('releasing what nobody holds frees no place of others', () => {
    const limits = limitsOf({ maxConnections: 2, maxConnectionsPerIp: 2 });
    limits.acquire('a');
    limits.release('b');
    expect(limits.count).toBe(1);
    limits.release('a');
    limits.release('a');
    expect(limits.count).toBe(0);
  });

  test('10,000 addresses that come and go leave nothing behind', () => {
    const limits = limitsOf({ maxConnections: 20_000, maxConnectionsPerIp: 2 });
    for (let n = 0; n < 10_000; n++) limits.acquire(`a${n}`);
    for (let n = 0; n < 10_000; n++) limits.release(`a${n}`);
    expect(limits.count).toBe(0);
    const maps = Object.values(limits)
      .flatMap((part: object) => Object.values(part))
      .filter((value): value is Map<string, number> => value instanceof Map);
    const [ofAddresses, ofUsers, rates] = maps.map(({ size }) => size);
    expect([ofAddresses, ofUsers]).toEqual([0, 0]);
    expect(rates).toBeLessThan(2500);
  });

  test('users have a limit of their own', () => {
    const limits = limitsOf({ maxConnectionsPerUser: 2 });
    expect([limits.acquireUser('ann'), limits.acquireUser('ann'), limits.acquireUser('ann')]).toEqual([
      true,
      true,
      false,
    ]);
    expect(limits.acquireUser('bob')).toBe(true);
    limits.releaseUser('ann');
    expect(limits.acquireUser('ann')).toBe(true);
  });

  test('an address may open as many at once as it may have, and then so many a second', () => {
    const limits = limitsOf({ maxConnectionsPerIp: 5, maxUpgradesPerSecond: 1 });
    for (let n = 0; n < 5; n++) {
      expect(limits.acquire('a')).toBeUndefined();
      limits.release('a');
    }
    expect(limits.acquire('a')).toBe('rate');
    expect(limits.acquire('b')).toBeUndefined();
  });
});
