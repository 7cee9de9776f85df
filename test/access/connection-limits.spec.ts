import { describe, expect, test } from '@jest/globals';
import { ConnectionLimits } from '../../src/access/connection-limits.js';

describe('ConnectionLimits', () => {
  test('says which limit is reached, and takes no place then', () => {
    const limits = new ConnectionLimits({ maxConnections: 3, maxConnectionsPerIp: 2 });
    expect(limits.acquire('a')).toBeUndefined();
    expect(limits.acquire('a')).toBeUndefined();
    expect(limits.acquire('a')).toBe('address');
    expect(limits.acquire('b')).toBeUndefined();
    expect(limits.acquire('b')).toBe('total');
    expect(limits.acquire('c')).toBe('total');
    expect(limits.count).toBe(3);
  });

  test('a released place can be taken again', () => {
    const limits = new ConnectionLimits({ maxConnections: 2, maxConnectionsPerIp: 1 });
    limits.acquire('a');
    expect(limits.acquire('a')).toBe('address');
    limits.release('a');
    expect(limits.count).toBe(0);
    expect(limits.acquire('a')).toBeUndefined();
  });

  test('both limits at once: the address is the one to do something about', () => {
    const limits = new ConnectionLimits({ maxConnections: 1, maxConnectionsPerIp: 1 });
    limits.acquire('a');
    expect(limits.acquire('a')).toBe('address');
    expect(limits.acquire('b')).toBe('total');
  });

  test('releasing what nobody holds frees no place of others', () => {
    const limits = new ConnectionLimits({ maxConnections: 2, maxConnectionsPerIp: 2 });
    limits.acquire('a');
    limits.release('b');
    expect(limits.count).toBe(1);
    limits.release('a');
    limits.release('a');
    expect(limits.count).toBe(0);
  });

  test('10,000 addresses that come and go leave nothing behind', () => {
    const limits = new ConnectionLimits({ maxConnections: 20_000, maxConnectionsPerIp: 2 });
    for (let n = 0; n < 10_000; n++) limits.acquire(`a${n}`);
    for (let n = 0; n < 10_000; n++) limits.release(`a${n}`);
    expect(limits.count).toBe(0);
    const kept = Object.values(limits).filter((value): value is Map<string, number> => value instanceof Map);
    expect(kept.map(({ size }) => size)).toEqual([0]);
  });
});
