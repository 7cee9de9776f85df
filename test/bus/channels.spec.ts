import { describe, expect, test } from '@jest/globals';
import { Channels } from '../../src/bus/channels.js';
import type { Interest } from '../../src/fan-out/interest.js';

const channels = new Channels((...parts) => `{p}:${parts.join(':')}`);

const key = (businessType: string, businessId: string): Interest => ({ kind: 'key', businessType, businessId });

describe('channels', () => {
  test.each<[Interest, string]>([
    [key('dev', '1'), '{p}:raw:key:dev:1'],
    [{ kind: 'type', businessType: 'dev' }, '{p}:raw:type:dev'],
    [{ kind: 'user', userName: 'ann' }, '{p}:raw:user:ann'],
    [{ kind: 'client', clientId: 'c-1' }, '{p}:raw:client:c-1'],
    [{ kind: 'everybody' }, '{p}:raw:everybody'],
  ])('%j', (interest, name) => {
    expect(channels.of(interest)).toMatchObject({ name, isPattern: false });
  });

  test('a whole type is a pattern, which covers each of its ids', () => {
    expect(channels.of(key('dev', '*'))).toEqual({ name: '{p}:raw:key:dev:*', isPattern: true });
    expect(channels.of(key('dev', '1')).coveredBy).toBe('{p}:raw:key:dev:*');
  });

  test('parts are encoded, so that none is taken for two, nor for a pattern', () => {
    expect(channels.of(key('a:b', 'c')).name).not.toBe(channels.of(key('a', 'b:c')).name);
    expect(channels.of(key('[a-z]?\\', '*x*')).name).toBe('{p}:raw:key:%5Ba-z%5D%3F%5C:%2Ax%2A');
    expect(channels.of(key('a*', '*')).name).toBe('{p}:raw:key:a%2A:*');
    expect(channels.of(key('电', 'é')).name).toBe('{p}:raw:key:%E7%94%B5:%C3%A9');
  });

  test('nothing that can be addressed is a node’s own', () => {
    expect(channels.probeOf('n').name).toBe('{p}:raw:probe:n');
  });
});
