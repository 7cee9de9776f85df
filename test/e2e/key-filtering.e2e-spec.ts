import { describe, expect, test } from '@jest/globals';
import { InvalidPushError, type PushRawDataOptions } from '../../src/index.js';
import { turn, until } from '../support/deadline.js';
import { gatewayOn, PLATFORMS, type TestGateway } from '../support/gateway.fixture.js';
import type { PushClient } from '../support/push.client.js';

/** Connects one client a path; the names are the test's. */
async function connectAll<N extends string>(
  gateway: TestGateway,
  paths: Readonly<Record<N, string>>,
): Promise<Record<N, PushClient>> {
  const clients: Partial<Record<N, PushClient>> = {};
  for (const name of Object.keys(paths) as N[]) clients[name] = await gateway.connect(`/ws/rowdata/${paths[name]}`);
  return clients as Record<N, PushClient>;
}

/** How many messages each was sent, without those who got none. */
async function countsOf(gateway: TestGateway, clients: Record<string, PushClient>): Promise<Record<string, number>> {
  const heard = await gateway.heardBy(clients);
  return Object.fromEntries(
    Object.entries(heard)
      .filter(([, messages]) => messages.length > 0)
      .map(([name, messages]) => [name, messages.length]),
  );
}

const subscription = (businessType: string, businessId: string) => ({ keys: [{ businessType, businessId }] });

describe.each(PLATFORMS)('key filtering on %s', (platform) => {
  const everybody = {
    ann1: 'dev/1/ann',
    bob1: 'dev/1/bob',
    ann10: 'dev/10/ann',
    ann2: 'dev/2/ann',
    annMeter: 'meter/1/ann',
  };

  test.each<[string, { businessType: string; businessId?: string }, string[]]>([
    ['dev:1 never reaches dev:10', { businessType: 'dev', businessId: '1' }, ['ann1', 'bob1']],
    ['dev:10 never reaches dev:1', { businessType: 'dev', businessId: '10' }, ['ann10']],
    ['a prefix of the type reaches nobody', { businessType: 'de', businessId: '1' }, []],
    ['a longer type reaches nobody', { businessType: 'device', businessId: '1' }, []],
    ['the same id of another type is another key', { businessType: 'meter', businessId: '1' }, ['annMeter']],
    ['a type that holds the whole key of another reaches nobody', { businessType: 'dev:1', businessId: 'ann' }, []],
    ['case matters', { businessType: 'Dev', businessId: '1' }, []],
    ['no businessId: everybody', { businessType: 'dev' }, Object.keys(everybody)],
    ['an empty businessId: everybody', { businessType: 'dev', businessId: '' }, Object.keys(everybody)],
    ['no businessId, a type that nobody has: everybody', { businessType: 'other' }, Object.keys(everybody)],
  ])('%s', async (_rule, datum, expected) => {
    const gateway = await gatewayOn(platform).start();
    const clients = await connectAll(gateway, everybody);
    expect(gateway.push.pushRawData({ ...datum, value: 1 })).toEqual({ matched: expected.length });
    expect(await countsOf(gateway, clients)).toEqual(Object.fromEntries(expected.map((name) => [name, 1])));
  });

  test('a push without businessId reaches no alarm client', async () => {
    const gateway = await gatewayOn(platform).start();
    const alarm = await gateway.connect('/ws/alarm');
    const raw = await gateway.connect('/ws/rowdata/dev/1/ann');
    expect(gateway.push.pushRawData({ businessType: 'dev' })).toEqual({ matched: 1 });
    expect(await raw.next()).toBe('{"businessType":"dev"}');
    expect(await gateway.alarmsHeardBy({ alarm })).toEqual({ alarm: [] });
  });

  describe('parts with unusual characters reach only their own', () => {
    const parts = {
      plain: 'a',
      colon: 'a:b',
      colonEncoded: 'a%3Ab',
      percent: '100%',
      percentTwice: '100%25',
      slash: 'a/b',
      backslash: 'a\\b',
      space: 'a b',
      plus: 'a+b',
      question: 'a?b#c',
      chinese: '设备',
      chinesePrefix: '设备一',
      emoji: '📈',
      precomposed: 'é',
      decomposed: 'e\u0301',
      star: '*a',
      dots: '...',
      prototype: '__proto__',
      constructorName: 'constructor',
    };

    test.each(Object.entries(parts))('%s: %j', async (own, part) => {
      const gateway = await gatewayOn(platform).start();
      const paths = Object.fromEntries(
        Object.entries(parts).map(([name, each]) => [
          name,
          `dev/${encodeURIComponent(each)}/${encodeURIComponent(each)}`,
        ]),
      );
      const clients = await connectAll(gateway, paths);
      expect(gateway.push.pushRawData({ businessType: 'dev', businessId: part })).toEqual({ matched: 1 });
      expect(gateway.push.pushRawData({ businessType: 'dev' }, { to: { userName: part } })).toEqual({ matched: 1 });
      expect(await countsOf(gateway, clients)).toEqual({ [own]: 2 });
    });

    test('a type of another script, and the key with every part encoded', async () => {
      const gateway = await gatewayOn(platform).start();
      const client = await gateway.connect(`/ws/rowdata/${encodeURIComponent('传感:器')}/a%2Fb/x%20y`);
      const [info] = gateway.rawData.clients();
      expect(info?.key).toBe(
        `websocket:rowdata:${encodeURIComponent('传感:器')}:a%2Fb:x%20y:${gateway.clientIdOf('x y')}`,
      );
      expect(gateway.push.pushRawData({ businessType: '传感:器', businessId: 'a/b', value: '值' })).toEqual({
        matched: 1,
      });
      expect(await client.next()).toBe('{"businessType":"传感:器","businessId":"a/b","value":"值"}');
    });
  });

  describe('to', () => {
    test.each<[string, (gateway: TestGateway) => PushRawDataOptions, string[]]>([
      ['a type', () => ({ to: { businessType: 'dev' } }), ['ann1', 'bob1', 'ann10', 'ann2']],
      ['a type and an id', () => ({ to: { businessType: 'dev', businessId: '1' } }), ['ann1', 'bob1']],
      ['a user', () => ({ to: { userName: 'ann' } }), ['ann1', 'ann10', 'ann2', 'annMeter']],
      ['a user and a type', () => ({ to: { businessType: 'dev', userName: 'ann' } }), ['ann1', 'ann10', 'ann2']],
      ['all but the client', () => ({ to: { businessType: 'dev', businessId: '1', userName: 'ann' } }), ['ann1']],
      ['a client', (gateway) => ({ to: { clientId: gateway.clientIdOf('bob') } }), ['bob1']],
      [
        'a client and its user',
        (gateway) => ({ to: { clientId: gateway.clientIdOf('bob'), userName: 'bob' } }),
        ['bob1'],
      ],
      [
        'a client and another user',
        (gateway) => ({ to: { clientId: gateway.clientIdOf('bob'), userName: 'ann' } }),
        [],
      ],
      [
        'a client and its key',
        (gateway) => ({ to: { clientId: gateway.clientIdOf('bob'), businessType: 'dev', businessId: '1' } }),
        ['bob1'],
      ],
      [
        'a client and another key',
        (gateway) => ({ to: { clientId: gateway.clientIdOf('bob'), businessType: 'dev', businessId: '10' } }),
        [],
      ],
      ['a prefix of a user', () => ({ to: { userName: 'an' } }), []],
      ['an unknown client', () => ({ to: { clientId: 'nobody' } }), []],
      ['a user, but not except', (gateway) => ({ to: { userName: 'bob' }, except: gateway.clientIdOf('bob') }), []],
    ])('%s', async (_rule, optionsFor, expected) => {
      const gateway = await gatewayOn(platform).start();
      const clients = await connectAll(gateway, everybody);
      const datum = { businessType: 'elsewhere', businessId: 'elsewhere' };
      expect(gateway.push.pushRawData(datum, optionsFor(gateway))).toEqual({ matched: expected.length });
      expect(await countsOf(gateway, clients)).toEqual(Object.fromEntries(expected.map((name) => [name, 1])));
    });

    test.each<[string, unknown, string]>([
      ['{}', {}, 'to'],
      ['undefined', undefined, 'to'],
      ['null', null, 'to'],
      ['a text', 'ann', 'to'],
      ['an array', ['ann'], 'to'],
      ['an undefined part', { userName: undefined }, 'to.userName'],
      ['an undefined part beside another', { userName: 'ann', clientId: undefined }, 'to.clientId'],
      ['an empty part', { userName: '' }, 'to.userName'],
      ['an empty clientId', { clientId: '' }, 'to.clientId'],
      ['an empty type', { businessType: '' }, 'to.businessType'],
      ['a number', { userName: 5 }, 'to.userName'],
      ['a wildcard', { businessType: 'dev', businessId: '*' }, 'to.businessId'],
      ['an unknown part', { user: 'ann' }, 'to.user'],
      ['an unknown part beside a known one', { userName: 'ann', orgId: 'acme' }, 'to.orgId'],
      ['businessId alone', { businessId: '1' }, 'to.businessId'],
      ['businessId and userName', { businessId: '1', userName: 'ann' }, 'to.businessId'],
    ])('refuses %s, and nothing is sent', async (_what, to, field) => {
      const gateway = await gatewayOn(platform).start();
      const client = await gateway.connect('/ws/rowdata/dev/1/ann');
      const push = () =>
        gateway.push.pushRawData({ businessType: 'dev', businessId: '1' }, { to } as unknown as PushRawDataOptions);
      expect(push).toThrow(InvalidPushError);
      expect(push).toThrow(expect.objectContaining({ code: 'invalidPush', field }));
      expect(await gateway.heardBy({ client })).toEqual({ client: [] });
    });

    test.each<[string, unknown, string]>([
      ['an unknown option', { too: { userName: 'ann' } }, 'too'],
      ['an empty except', { except: '' }, 'except'],
      ['an except that is no text', { except: 5 }, 'except'],
    ])('refuses %s', async (_what, options, field) => {
      const gateway = await gatewayOn(platform).start();
      const client = await gateway.connect('/ws/rowdata/dev/1/ann');
      expect(() => gateway.push.pushRawData({ businessType: 'dev' }, options as PushRawDataOptions)).toThrow(
        expect.objectContaining({ code: 'invalidPush', field }),
      );
      expect(await gateway.heardBy({ client })).toEqual({ client: [] });
    });
  });

  test('except leaves one connection out', async () => {
    const gateway = await gatewayOn(platform).start();
    const clients = await connectAll(gateway, everybody);
    const except = gateway.clientIdOf('bob');
    expect(gateway.push.pushRawData({ businessType: 'dev', businessId: '1' }, { except })).toEqual({ matched: 1 });
    expect(gateway.push.pushRawData({ businessType: 'dev' }, { except })).toEqual({ matched: 4 });
    expect(await countsOf(gateway, clients)).toEqual({ ann1: 2, ann10: 1, ann2: 1, annMeter: 1 });
  });

  test('two connections of one user both hear', async () => {
    const gateway = await gatewayOn(platform).start();
    const clients = await connectAll(gateway, { desktop: 'dev/1/ann', phone: 'dev/1/ann' });
    expect(gateway.push.pushRawData({ businessType: 'dev', businessId: '1' })).toEqual({ matched: 2 });
    expect(gateway.push.pushRawData({ businessType: 'dev' }, { to: { userName: 'ann' } })).toEqual({ matched: 2 });
    expect(await countsOf(gateway, clients)).toEqual({ desktop: 2, phone: 2 });
  });

  describe('subscriptions', () => {
    test('overlapping ones hear once', async () => {
      const gateway = await gatewayOn(platform).start();
      const client = await gateway.connectPushV1('/ws/rowdata/dev/1/ann');
      const keys = [
        { businessType: 'dev', businessId: '*' },
        { businessType: 'dev', businessId: '1' },
        { businessType: 'dev', businessId: '2' },
      ];
      expect(await client.ask('subscribe', { keys })).toEqual({ event: 'subscribed', data: { keys, refused: [] } });
      const pushes: [{ businessType: string; businessId?: string; n: number }, PushRawDataOptions?][] = [
        [{ businessType: 'dev', businessId: '1', n: 1 }],
        [{ businessType: 'dev', n: 2 }],
        [{ businessType: 'dev', n: 3 }, { to: { businessType: 'dev' } }],
        [{ businessType: 'dev', n: 4 }, { to: { businessType: 'dev', businessId: '1' } }],
        [{ businessType: 'dev', n: 5 }, { to: { userName: 'ann', businessType: 'dev', businessId: '2' } }],
      ];
      for (const [datum, options] of pushes) expect(gateway.push.pushRawData(datum, options)).toEqual({ matched: 1 });
      const { client: messages } = await gateway.heardBy({ client });
      expect(messages.map((text) => JSON.parse(text) as unknown)).toEqual(
        pushes.map(([data]) => ({ event: 'rawData', data })),
      );
    });

    test('a wildcard hears the whole type, of today and tomorrow, and no other', async () => {
      const gateway = await gatewayOn(platform).start();
      const client = await gateway.connectPushV1('/ws/rowdata/host/a/ann');
      await client.ask('subscribe', subscription('dev', '*'));
      expect(gateway.push.pushRawData({ businessType: 'dev', businessId: 'never seen' })).toEqual({ matched: 1 });
      expect(gateway.push.pushRawData({ businessType: 'device', businessId: '1' })).toEqual({ matched: 0 });
      expect(gateway.push.pushRawData({ businessType: 'de', businessId: '1' })).toEqual({ matched: 0 });
      expect(await countsOf(gateway, { client })).toEqual({ client: 1 });
    });

    test("unsubscribing from the path's own key ends it, a second time does nothing", async () => {
      const gateway = await gatewayOn(platform).start();
      const client = await gateway.connectPushV1('/ws/rowdata/dev/1/ann');
      const own = subscription('dev', '1');
      expect(await client.ask('unsubscribe', own)).toEqual({ event: 'unsubscribed', data: own });
      expect(await client.ask('unsubscribe', own)).toEqual({ event: 'unsubscribed', data: { keys: [] } });
      expect(gateway.push.pushRawData({ businessType: 'dev', businessId: '1' })).toEqual({ matched: 0 });
      // The user and the client are still there.
      expect(gateway.push.pushRawData({ businessType: 'dev' }, { to: { userName: 'ann' } })).toEqual({ matched: 1 });
      expect(await countsOf(gateway, { client })).toEqual({ client: 1 });
    });

    test('unsubscribing from one of two overlapping keys leaves the other', async () => {
      const gateway = await gatewayOn(platform).start();
      const client = await gateway.connectPushV1('/ws/rowdata/dev/1/ann');
      await client.ask('subscribe', subscription('dev', '*'));
      await client.ask('unsubscribe', subscription('dev', '*'));
      expect(gateway.push.pushRawData({ businessType: 'dev', businessId: '2' })).toEqual({ matched: 0 });
      expect(gateway.push.pushRawData({ businessType: 'dev', businessId: '1' })).toEqual({ matched: 1 });
      expect(await countsOf(gateway, { client })).toEqual({ client: 1 });
    });

    test('what a client subscribed to is gone with it', async () => {
      const gateway = await gatewayOn(platform).start();
      const client = await gateway.connectPushV1('/ws/rowdata/dev/1/ann');
      await client.ask('subscribe', { keys: [...subscription('dev', '*').keys, ...subscription('meter', '7').keys] });
      await client.close();
      await until(() => gateway.rawData.count() === 0, 'it is gone');
      for (const businessId of ['1', '7', undefined]) {
        for (const businessType of ['dev', 'meter']) {
          expect(gateway.push.pushRawData({ businessType, businessId })).toEqual({ matched: 0 });
        }
      }
    });
  });

  describe('the delivery filter', () => {
    test('narrows what a client gets, and is asked for matched clients only', async () => {
      const asked: string[] = [];
      const gateway = await gatewayOn(platform)
        .withOptions({
          deliveryFilter: (client, datum) => {
            asked.push(client.userName);
            return client.userName === datum['for'];
          },
        })
        .start();
      const clients = await connectAll(gateway, everybody);
      expect(gateway.push.pushRawData({ businessType: 'dev', businessId: '1', for: 'bob' })).toEqual({ matched: 1 });
      expect(asked.toSorted()).toEqual(['ann', 'bob']);
      expect(await countsOf(gateway, clients)).toEqual({ bob1: 1 });
    });

    test('one that throws: not delivered, counted, and the others are served', async () => {
      const gateway = await gatewayOn(platform)
        .withOptions({
          deliveryFilter: ({ userName }) => {
            if (userName === 'ann') throw new Error('no such permission');
            return true;
          },
        })
        .start();
      const clients = await connectAll(gateway, everybody);
      expect(gateway.push.pushRawData({ businessType: 'dev', businessId: '1' })).toEqual({ matched: 1 });
      expect(gateway.push.pushRawData({ businessType: 'dev' })).toEqual({ matched: 1 });
      expect(gateway.push.filterFailures).toBe(5);
      expect(await countsOf(gateway, clients)).toEqual({ bob1: 2 });
    });

    test('only true delivers: a promise or a truthy value does not', async () => {
      const answers: unknown[] = [1, 'yes', Promise.resolve(true), undefined, true];
      const gateway = await gatewayOn(platform)
        .withOptions({ deliveryFilter: () => answers.shift() as boolean })
        .start();
      const client = await gateway.connect('/ws/rowdata/dev/1/ann');
      const matched = [0, 1, 2, 3, 4].map((n) => gateway.push.pushRawData({ businessType: 'dev', n }).matched);
      expect(matched).toEqual([0, 0, 0, 0, 1]);
      expect(await gateway.heardBy({ client })).toEqual({ client: ['{"businessType":"dev","n":4}'] });
    });
  });

  describe('a delivery filter that does more than it should', () => {
    test('one whose promise rejects ends nothing', async () => {
      const gateway = await gatewayOn(platform)
        .withOptions({ deliveryFilter: (() => Promise.reject(new Error('no database'))) as unknown as () => boolean })
        .start();
      const client = await gateway.connect('/ws/rowdata/dev/1/ann');
      expect(gateway.push.pushRawData({ businessType: 'dev', businessId: '1' })).toEqual({ matched: 0 });
      await turn();
      expect(await gateway.heardBy({ client })).toEqual({ client: [] });
    });

    test('one that pushes itself: everybody still hears each push once', async () => {
      const gateway: TestGateway = await gatewayOn(platform)
        .withOptions({
          deliveryFilter: (_client, { businessType }) => {
            if (businessType === 'dev') gateway.push.pushRawData({ businessType: 'audit', businessId: '1' });
            return true;
          },
        })
        .start();
      const client = await gateway.connectPushV1('/ws/rowdata/dev/1/ann');
      const auditor = await gateway.connect('/ws/rowdata/audit/1/bob');
      await client.ask('subscribe', subscription('dev', '*'));
      expect(gateway.push.pushRawData({ businessType: 'dev', businessId: '1' })).toEqual({ matched: 1 });
      expect(await countsOf(gateway, { client, auditor })).toEqual({ client: 1, auditor: 1 });
    });
  });

  test('a registry broadcasts any text to all of its own clients but one', async () => {
    const gateway = await gatewayOn(platform).start();
    const raw1 = await gateway.connect('/ws/rowdata/dev/1/ann');
    const raw2 = await gateway.connectPushV1('/ws/rowdata/dev/2/bob');
    const alarm1 = await gateway.connectPushV1('/ws/alarm');
    const alarm2 = await gateway.connect('/ws/alarm');
    expect(gateway.rawData.broadcast('to all raw')).toBe(2);
    expect(gateway.rawData.broadcast('but bob', { except: raw2.clientId })).toBe(1);
    expect(gateway.alarms.broadcast('to all alarm')).toBe(2);
    expect(gateway.alarms.broadcast('but one', { except: alarm1.clientId })).toBe(1);
    expect(await gateway.heardBy({ raw1, raw2 })).toEqual({ raw1: ['to all raw', 'but bob'], raw2: ['to all raw'] });
    expect(await gateway.alarmsHeardBy({ alarm1, alarm2 })).toEqual({
      alarm1: ['to all alarm'],
      alarm2: ['to all alarm', 'but one'],
    });
  });
});
