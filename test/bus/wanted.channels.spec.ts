import { beforeEach, describe, expect, test } from '@jest/globals';
import { Channels, type ChannelName } from '../../src/bus/channels.js';
import { WantedChannels } from '../../src/bus/wanted.channels.js';
import { seeded } from '../support/random.js';

const channels = new Channels((...parts) => parts.slice(1).join(':'));
const key = (businessType: string, businessId: string) => channels.of({ kind: 'key', businessType, businessId });
const user = channels.of({ kind: 'user', userName: 'ann' });

let wanted: WantedChannels;
let changes: string[];

beforeEach(() => {
  changes = [];
  wanted = new WantedChannels((name) => changes.push(name));
});

const needed = () => [...wanted.channels, ...wanted.patterns].toSorted();

describe('wanted channels', () => {
  test('are needed until given up as often as wanted, and told of once', () => {
    for (const name of [key('dev', '1'), key('dev', '1'), user]) wanted.want(name);
    expect(needed()).toEqual(['key:dev:1', 'user:ann']);
    wanted.giveUp(key('dev', '1'));
    wanted.giveUp(user);
    expect(needed()).toEqual(['key:dev:1']);
    wanted.giveUp(key('dev', '1'));
    expect(needed()).toEqual([]);
    expect(changes).toEqual(['key:dev:1', 'user:ann', 'user:ann', 'key:dev:1']);
  });

  test('are not needed while a pattern covers them, and are again afterwards', () => {
    wanted.want(key('dev', '1'));
    wanted.want(key('host', '1'));
    wanted.want(key('dev', '*'));
    wanted.want(key('dev', '2'));
    expect(needed()).toEqual(['key:dev:*', 'key:host:1']);
    wanted.giveUp(key('dev', '1'));
    wanted.giveUp(key('dev', '*'));
    expect(needed()).toEqual(['key:dev:2', 'key:host:1']);
  });

  test('what was not wanted is not given up', () => {
    wanted.giveUp(user);
    expect(changes).toEqual([]);
    wanted.want(user);
    expect(needed()).toEqual(['user:ann']);
  });

  test(
    'random: as if counted anew each time',
    seeded((random) => {
      const all = ['1', '2', '3', '*'].flatMap((id) => ['a', 'b'].map((type) => key(type, id))).concat(user);
      const held: ChannelName[] = [];
      const needs = new Set<string>();
      wanted = new WantedChannels((name) => needs.delete(name) || needs.add(name));
      for (let step = 0; step < 5000; step++) {
        if (random.chance(0.5)) {
          const name = random.pick(all);
          held.push(name);
          wanted.want(name);
        } else if (held.length > 0) {
          const [name] = held.splice(random.below(held.length), 1);
          if (name !== undefined) wanted.giveUp(name);
        }
        const names = new Set(held.map(({ name }) => name));
        const uncovered = held.filter(({ coveredBy }) => coveredBy === undefined || !names.has(coveredBy));
        const expected = [...new Set(uncovered.map(({ name }) => name))].toSorted();
        expect(needed()).toEqual(expected);
        expect([...needs].toSorted()).toEqual(expected);
      }
    }),
  );
});
