import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import type { RawDataBus } from '../../src/bus/bus.js';
import type { Interest } from '../../src/fan-out/interest.js';
import type { PushTarget } from '../../src/fan-out/raw-data.router.js';
import { BusNode, key } from '../support/bus.node.js';
import { until } from '../support/deadline.js';

/** What holds on every bus, also on that of a single node. */
export function describeRawDataBus(name: string, open: () => Promise<RawDataBus>): void {
  describe(`${name}, a bus`, () => {
    let bus: RawDataBus;
    beforeEach(async () => (bus = await open()));
    afterEach(() => bus.close());

    test('is not at fault', () => {
      expect(bus.fault).toBeUndefined();
    });

    test('brings back nothing of what its own node sends', async () => {
      const node = new BusNode(bus);
      await node.want(key('dev', '1'), key('dev', '*'), { kind: 'everybody' });
      node.send('dev', '1', 1);
      node.send('dev', undefined, 2);
      await bus.close();
      expect(node.received).toEqual([]);
    });

    test('takes wants and their ends in any order', async () => {
      const interests: Interest[] = [key('dev', '1'), key('dev', '*'), { kind: 'user', userName: 'ann' }];
      for (const interest of interests) bus.giveUp(interest);
      for (const interest of [...interests, ...interests]) bus.want(interest);
      for (const interest of interests.toReversed()) bus.giveUp(interest);
      await bus.whenWanted();
      expect(bus.whenWanted()).toBeUndefined();
    });

    test('is closed once more without harm', async () => {
      await bus.close();
      await bus.close();
      expect(() => new BusNode(bus).send('dev', '1', 1)).not.toThrow();
    });
  });
}

/** What holds between nodes; `open` gives another node each time. */
export function describeRawDataBusOfNodes(name: string, open: () => Promise<RawDataBus>): void {
  describe(`${name}, between nodes`, () => {
    const nodes: BusNode[] = [];
    let sender: BusNode;
    let receiver: BusNode;

    const start = async () => {
      const node = new BusNode(await open());
      nodes.push(node);
      return node;
    };

    beforeEach(async () => {
      sender = await start();
      receiver = await start();
    });
    afterEach(async () => {
      await Promise.all(nodes.splice(0).map(({ bus }) => bus.close()));
    });

    interface Way {
      readonly interest: Interest;
      readonly businessId?: string;
      readonly to?: PushTarget;
    }
    const ways: [string, Way][] = [
      ['an address', { interest: key('dev', '1'), businessId: '1' }],
      ['an address, by its whole type', { interest: key('dev', '*'), businessId: '1' }],
      ['everybody', { interest: { kind: 'everybody' } }],
      ['a user', { interest: { kind: 'user', userName: 'ann' }, businessId: '1', to: { userName: 'ann' } }],
      ['a client', { interest: { kind: 'client', clientId: 'c' }, businessId: '1', to: { clientId: 'c' } }],
      [
        'a user’s client of a type',
        {
          interest: { kind: 'client', clientId: 'c' },
          businessId: '1',
          to: { businessType: 'x', userName: 'ann', clientId: 'c' },
        },
      ],
      ['whoever has something of a type', { interest: { kind: 'type', businessType: 'x' }, to: { businessType: 'x' } }],
      ['another address than its own', { interest: key('x', '2'), to: { businessType: 'x', businessId: '2' } }],
    ];

    test.each(ways)('what is sent to %s arrives whole where that is wanted, with its origin', async (_, way) => {
      const { interest, businessId, to } = way;
      await receiver.want(interest);
      const origin = sender.send('dev', businessId, 'value', { series: 'kw', to, except: 'other' });
      await until(() => receiver.received.length > 0, 'the datum arrives');
      expect(receiver.received).toEqual([
        {
          origin,
          envelope: {
            datumJson: JSON.stringify({ businessType: 'dev', businessId, value: 'value' }),
            conflationKey: `dev\0${businessId ?? ''}\0kw`,
            businessType: 'dev',
            businessId,
            to,
            except: 'other',
          },
        },
      ]);
    });

    test.each(ways)('what is sent to %s does not arrive where that is not wanted', async (_, { businessId, to }) => {
      await receiver.want(
        key('dev', '2'),
        key('d', '*'),
        { kind: 'user', userName: 'an' },
        { kind: 'client', clientId: '*' },
      );
      sender.send('dev', businessId, 'value', { to });
      expect(await receiver.valuesUpToNow(sender)).toEqual([]);
    });

    test('nothing arrives that nobody wants any more', async () => {
      await receiver.want(key('dev', '1'), key('dev', '1'));
      receiver.bus.giveUp(key('dev', '1'));
      sender.send('dev', '1', 1);
      await until(() => receiver.received.length > 0, 'the datum arrives');
      receiver.bus.giveUp(key('dev', '1'));
      expect(await receiver.valuesUpToNow(sender)).toEqual([1]);
      sender.send('dev', '1', 2);
      expect(await receiver.valuesUpToNow(sender)).toEqual([1]);
    });

    test('of one address everything arrives once, in order, by whatever it is wanted', async () => {
      await receiver.want(key('dev', '1'), key('dev', '*'));
      const origins = Array.from({ length: 2000 }, (_, value) => sender.send('dev', '1', value));
      await until(() => receiver.received.length >= 2000, 'all arrive');
      expect(await receiver.valuesUpToNow(sender)).toEqual(Array.from({ length: 2000 }, (_, value) => value));
      expect(receiver.received.slice(0, 2000).map(({ origin }) => origin)).toEqual(origins);
    });

    test('the sequences of a node rise', () => {
      const sequences = Array.from({ length: 10 }, () => sender.send('dev', '1', 0)?.sequence ?? 0);
      expect(sequences).toEqual(sequences.toSorted((a, b) => a - b));
      expect(new Set(sequences).size).toBe(10);
    });

    test('each node has what it wants', async () => {
      const third = await start();
      await receiver.want(key('dev', '1'));
      await third.want(key('dev', '1'), key('dev', '2'));
      sender.send('dev', '1', 1);
      sender.send('dev', '2', 2);
      receiver.send('dev', '1', 3);
      await until(() => third.received.length === 3, 'all arrive');
      expect(await receiver.valuesUpToNow(sender)).toEqual([1]);
      expect(third.values.toSorted()).toEqual([1, 2, 3]);
    });

    test('a listener that throws harms no other, and one that has ended hears nothing', async () => {
      const other = new BusNode(receiver.bus);
      const heard: unknown[] = [];
      const stop = receiver.bus.onReceived((envelope) => heard.push(envelope));
      receiver.bus.onReceived(() => {
        throw new Error('broken');
      });
      const last = new BusNode(receiver.bus);
      stop();
      await receiver.want(key('dev', '1'));
      sender.send('dev', '1', 1);
      sender.send('dev', '1', 2);
      await until(() => last.received.length === 2, 'both arrive');
      expect(other.values).toEqual([1, 2]);
      expect(heard).toEqual([]);
    });

    test('what is pushed before the end still goes out', async () => {
      await receiver.want(key('dev', '1'));
      sender.send('dev', '1', 'last');
      await sender.bus.close();
      await until(() => receiver.received.length === 1, 'the last datum arrives');
      expect(receiver.values).toEqual(['last']);
    });
  });
}
