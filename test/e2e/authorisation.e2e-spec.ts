import { describe, expect, test } from '@jest/globals';
import { Injectable, Module } from '@nestjs/common';
import {
  Authenticator,
  ClaimsAuthorizer,
  type Handshake,
  type Principal,
  PushAuthorizer,
  PushModule,
  type PushModuleOptions,
} from '../../src/index.js';
import { within } from '../support/deadline.js';
import { gatewayOn, type Platform, PLATFORMS, type TestGateway } from '../support/gateway.fixture.js';
import type { PushClient } from '../support/push.client.js';
import { rawGet, rawUpgrade } from '../support/raw-upgrade.js';

class QueryAuthenticator extends Authenticator {
  authenticate({ query }: Handshake): Principal {
    return { userName: query.get('as') ?? '', keys: query.getAll('key') };
  }
}

describe.each(PLATFORMS)('authorisation on %s', (platform) => {
  const start = () => gatewayOn(platform).withOptions({ authenticator: new QueryAuthenticator() }).start();

  test.each([
    ['another user', '/ws/rowdata/meter/5/ann?as=bob&key=meter/5', 'forbiddenUser'],
    ['a key that no claim covers', '/ws/rowdata/meter/50/ann?as=ann&key=meter/5', 'forbiddenKey'],
    ['no claim', '/ws/rowdata/meter/5/ann?as=ann', 'forbiddenKey'],
  ])('%s is refused before the upgrade', async (_what, path, error) => {
    const gateway = await start();
    expect(await rawUpgrade(gateway.port, { path })).toMatchObject({ status: 403, json: { statusCode: 403, error } });
    expect(gateway.rawData.count()).toBe(0);
  });

  test('claims bound subscriptions, wildcards and broadcasts', async () => {
    const gateway = await start();
    const client = await gateway.connectPushV1('/ws/rowdata/meter/5/ann?as=ann&key=meter/5&key=pump/*');
    const keys = [
      { businessType: 'meter', businessId: '6' },
      { businessType: 'meter', businessId: '*' },
      { businessType: 'pump', businessId: '*' },
    ];
    expect(await client.ask('subscribe', { keys })).toEqual({
      event: 'subscribed',
      data: {
        keys: [keys[2]],
        refused: [
          { businessType: 'meter', businessId: '6', reason: 'forbidden' },
          { businessType: 'meter', businessId: '*', reason: 'forbidden' },
        ],
      },
    });
    const { push } = gateway;
    expect(push.pushRawData({ businessType: 'meter' })).toEqual({ matched: 0 });
    expect(push.pushRawData({ businessType: 'pump' })).toEqual({ matched: 1 });
    expect(push.pushRawData({ businessType: 'pump', businessId: '9' })).toEqual({ matched: 1 });
  });
});

const at = (businessType: string, businessId: string) => ({ businessType, businessId });

/** What an application might look up elsewhere: everybody sees meters up to 9 and hears the own plant. */
@Injectable()
class Directory {
  readonly plantOf = new Map([['ann', 'acme/plant1']]);
}

@Injectable()
class DirectoryAuthorizer extends PushAuthorizer {
  constructor(private readonly directory: Directory) {
    super();
  }

  async mayConnect(principal: Principal, { gateway, parameters }: Handshake): Promise<boolean> {
    await Promise.resolve();
    return gateway === 'alarm' || this.maySee(principal, parameters['businessType'] ?? '', parameters['businessId']);
  }

  maySee(_principal: Principal, businessType: string, businessId: string | undefined): boolean {
    return businessType === 'meter' && businessId !== undefined && /^\d$/.test(businessId);
  }

  mayHear({ userName = '' }: Principal, orgId: string): boolean {
    return this.directory.plantOf.get(userName) === orgId;
  }
}

@Module({ providers: [Directory, DirectoryAuthorizer], exports: [DirectoryAuthorizer] })
class DirectoryModule {}

const authenticator = new QueryAuthenticator();
const wide = (as: string) => `/ws/rowdata/meter/5/${as}?as=${as}&key=meter/*&key=pump/*`;

const WAYS: [string, (platform: Platform) => Promise<TestGateway>][] = [
  [
    'an instance',
    (platform) =>
      gatewayOn(platform)
        .withOptions({ authenticator, authorizer: new DirectoryAuthorizer(new Directory()) })
        .start(),
  ],
  [
    'useExisting',
    (platform) =>
      gatewayOn(platform)
        .withOptions({ authenticator, authorizer: { useExisting: DirectoryAuthorizer } })
        .withImports(DirectoryModule)
        .start(),
  ],
  [
    'useExisting of forRootAsync',
    (platform) =>
      gatewayOn(platform)
        .withPushModule(() =>
          PushModule.forRootAsync({
            useFactory: () =>
              Promise.resolve({ alarmLogPath: '', authenticator, authorizer: { useExisting: DirectoryAuthorizer } }),
          }),
        )
        .withImports(DirectoryModule)
        .start(),
  ],
];

describe.each(PLATFORMS)('an authorizer of the application on %s', (platform) => {
  test.each(WAYS)('as %s decides who connects, and what is subscribed to and broadcast', async (_way, start) => {
    const gateway = await start(platform);
    expect(await rawUpgrade(gateway.port, { path: '/ws/rowdata/meter/10/ann?as=ann' })).toMatchObject({
      status: 403,
      json: { error: 'forbiddenKey' },
    });
    expect((await rawGet(gateway.port, { path: '/ws/rowdata/pump/1/ann?as=ann' })).status).toBe(403);
    gateway.push.pushRawData({ ...at('meter', '6'), value: 6 });
    gateway.push.pushRawData({ ...at('meter', '10'), value: 10 });
    const client = await gateway.connectPushV1('/ws/rowdata/meter/5/ann?as=ann');
    const keys = [at('meter', '6'), at('meter', '10'), at('meter', '*')].map((key) => ({ ...key, snapshot: true }));
    expect((await client.ask('subscribe', { keys })).data).toEqual({
      keys: [keys[0]],
      refused: [
        { ...at('meter', '10'), reason: 'forbidden' },
        { ...at('meter', '*'), reason: 'forbidden' },
      ],
    });
    expect(gateway.push.pushRawData({ businessType: 'meter' })).toEqual({ matched: 0 });
    expect(gateway.push.pushRawData(at('meter', '10'))).toEqual({ matched: 0 });
    // The snapshot of what may be seen, and nothing else.
    const heard = await gateway.heardBy({ client });
    expect(heard.client.map((text) => JSON.parse(text) as unknown)).toEqual([
      { event: 'rawData', data: { ...at('meter', '6'), value: 6 } },
    ]);
  });

  test.each(WAYS)('as %s decides who hears which alarm, replayed ones too', async (_way, start) => {
    const gateway = await start(platform);
    const alarms = ['acme/plant1', 'acme/plant2', undefined].map((orgId, n) => ({
      businessId: '1',
      n,
      conditionId: `c${n}`,
      active: true,
      ...(orgId === undefined ? {} : { orgId }),
    }));
    await gateway.push.pushAlarms(alarms);
    for (const replay of ['2', 'all', 'active']) {
      const clients = {
        ann: await gateway.connect(`/ws/alarm?as=ann&replay=${replay}`),
        bob: await gateway.connect(`/ws/alarm?as=bob&replay=${replay}`),
      };
      const end = `the end of ${replay}`;
      await gateway.push.pushAlarm({ businessId: '1', end });
      const heardBy = async (client: PushClient): Promise<unknown[]> => {
        const heard: { n?: number; end?: string }[] = [];
        do heard.push(JSON.parse(await client.next()) as { n?: number; end?: string });
        while (heard.at(-1)?.end !== end);
        return heard.flatMap(({ n }) => n ?? []);
      };
      expect(await heardBy(clients.ann)).toEqual([0, 2]);
      expect(await heardBy(clients.bob)).toEqual([2]);
    }
  });

  class Broken extends ClaimsAuthorizer {
    isBroken = false;

    override mayConnect(): boolean {
      return true;
    }

    override maySee(principal: Principal, businessType: string, businessId: string | undefined): boolean {
      if (this.isBroken && principal.userName === 'bob') throw new Error('secret of the directory');
      return super.maySee(principal, businessType, businessId);
    }

    override mayHear(principal: Principal): boolean {
      if (this.isBroken && principal.userName === 'bob') throw new Error('secret of the directory');
      return true;
    }
  }

  const startBroken = async (authorizer: PushAuthorizer, options: PushModuleOptions = {}) =>
    gatewayOn(platform)
      .withOptions({ authenticator, authorizer, ...options })
      .start();

  test.each<[string, () => boolean | Promise<boolean>, number, string]>([
    [
      'throws',
      () => {
        throw new Error('secret of the directory');
      },
      503,
      'authorisation',
    ],
    ['rejects', () => Promise.reject(new Error('secret of the directory')), 503, 'authorisation'],
    ['says no', () => false, 403, 'forbiddenKey'],
    ['says nothing', () => undefined as unknown as boolean, 403, 'forbiddenKey'],
    ['says a word', () => 'yes' as unknown as boolean, 403, 'forbiddenKey'],
  ])('one that %s before the upgrade refuses', async (_what, answer, status, error) => {
    class Saying extends ClaimsAuthorizer {
      override mayConnect(): boolean | Promise<boolean> {
        return answer();
      }
    }
    const gateway = await startBroken(new Saying());
    for (const path of ['/ws/rowdata/meter/5/ann?as=ann', '/ws/alarm?as=ann']) {
      for (const ask of [rawUpgrade, rawGet]) {
        const refused = await ask(gateway.port, { path });
        expect(refused).toMatchObject({ status, json: { statusCode: status, error } });
        expect(refused.body).not.toContain('secret');
      }
    }
    expect(gateway.placesTaken).toBe(0);
  });

  test('one that never answers is given up: 503, and its place is free', async () => {
    class Silent extends ClaimsAuthorizer {
      override mayConnect(): Promise<boolean> {
        return new Promise(() => {});
      }
    }
    const gateway = await startBroken(new Silent());
    const answer = await within(fetch(gateway.url('/ws/alarm?as=ann', 'http')), 'an answer', 8000);
    expect(answer.status).toBe(503);
    expect(await answer.json()).toMatchObject({ error: 'authorisation' });
    expect(gateway.placesTaken).toBe(0);
  });

  test('one that throws while data are pushed refuses that client and harms no other', async () => {
    const authorizer = new Broken();
    const gateway = await startBroken(authorizer);
    const bob = await gateway.connectPushV1(wide('bob'));
    const ann = await gateway.connectPushV1(wide('ann'));
    const bobsAlarms = await gateway.connect('/ws/alarm?as=bob');
    const annsAlarms = await gateway.connect('/ws/alarm?as=ann');
    authorizer.isBroken = true;
    expect(gateway.push.pushRawData({ businessType: 'meter' })).toEqual({ matched: 1 });
    const { data } = await bob.ask('subscribe', { keys: [at('pump', '1')] });
    expect(data).toEqual({ keys: [], refused: [{ ...at('pump', '1'), reason: 'forbidden' }] });
    expect((await ann.nextEvent('rawData')).data).toEqual({ businessType: 'meter' });
    await gateway.push.pushAlarms([
      { businessId: '1', orgId: 'acme', n: 1 },
      { businessId: '1', n: 2 },
    ]);
    expect(JSON.parse(await annsAlarms.next())).toMatchObject({ n: 1 });
    expect(JSON.parse(await annsAlarms.next())).toMatchObject({ n: 2 });
    expect(JSON.parse(await bobsAlarms.next())).toMatchObject({ n: 2 });
  });

  test('an async method, where a plain answer is asked for, lets nothing through', async () => {
    class Async extends ClaimsAuthorizer {
      override mayConnect(): boolean {
        return true;
      }

      override maySee(): boolean {
        return Promise.resolve(false) as unknown as boolean;
      }

      override mayHear(): boolean {
        return Promise.reject(new Error('later')) as unknown as boolean;
      }
    }
    const gateway = await startBroken(new Async());
    const client = await gateway.connectPushV1('/ws/rowdata/meter/5/ann?as=ann');
    const alarms = await gateway.connect('/ws/alarm?as=ann');
    expect((await client.ask('subscribe', { keys: [at('pump', '1')] })).data).toMatchObject({ keys: [] });
    expect(gateway.push.pushRawData({ businessType: 'meter' })).toEqual({ matched: 0 });
    await gateway.push.pushAlarms([
      { businessId: '1', orgId: 'acme', n: 1 },
      { businessId: '1', n: 2 },
    ]);
    expect(JSON.parse(await alarms.next())).toMatchObject({ n: 2 });
  });
});
