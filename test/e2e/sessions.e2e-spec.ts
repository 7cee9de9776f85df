import { describe, expect, test } from '@jest/globals';
import type { JWTPayload } from 'jose';
import { type Alarm, ClaimsAuthorizer, JwtAuthenticator, type PushModuleOptions } from '../../src/index.js';
import { until, within } from '../support/deadline.js';
import { gatewayOn, PLATFORMS, type TestGateway } from '../support/gateway.fixture.js';
import type { PushClient } from '../support/push.client.js';
import { rawUpgrade } from '../support/raw-upgrade.js';
import { secondsFromNow, signToken, TEST_SECRET } from '../support/tokens.js';

const PATH = '/ws/rowdata/meter/5/ann';
const TOKEN_END = { code: 4401, reason: 'token expired' };
const at = (businessType: string, businessId: string) => ({ businessType, businessId });
const bearer = async (claims: JWTPayload) => ({ headers: { Authorization: `Bearer ${await signToken(claims)}` } });

const connect = async (gateway: TestGateway, claims: JWTPayload, path = PATH): Promise<PushClient> =>
  gateway.connectPushV1(path, await bearer(claims));

/** The status that these credentials are answered now. */
const statusOf = async (gateway: TestGateway, claims: JWTPayload, path = PATH): Promise<unknown> => {
  const { status, json } = await rawUpgrade(gateway.port, { path, ...(await bearer(claims)) });
  return status === 101 ? 101 : (json as { error: string }).error;
};

describe.each(PLATFORMS)('sessions on %s', (platform) => {
  const start = (options: PushModuleOptions = {}) =>
    gatewayOn(platform)
      .withOptions({ authenticator: new JwtAuthenticator({ secret: TEST_SECRET }), ...options })
      .start();

  describe('a token that ends', () => {
    test('closes its connections with 4401, on both gateways and wires, and no other', async () => {
      const gateway = await start({ tokenGraceMs: 0 });
      const ending = { sub: 'ann', exp: secondsFromNow(2) };
      const lasting = await connect(gateway, { sub: 'ann', exp: secondsFromNow(600) });
      const ends = [
        await connect(gateway, ending),
        await connect(gateway, ending, '/ws/alarm'),
        await gateway.connect(PATH, await bearer(ending)),
      ].map(({ closed }) => closed);
      expect(await within(Promise.all(ends), 'they are closed')).toEqual([TOKEN_END, TOKEN_END, TOKEN_END]);
      expect((await lasting.ask('subscribe', { keys: [] })).event).toBe('subscribed');
    });

    test('is outlived by the grace', async () => {
      const gateway = await start({ tokenGraceMs: 60_000 });
      const graced = await connect(gateway, { sub: 'ann', exp: secondsFromNow(1) });
      const strict = await start({ tokenGraceMs: 0 });
      const ended = await connect(strict, { sub: 'ann', exp: secondsFromNow(1) });
      expect(await within(ended.closed, 'the other is closed')).toEqual(TOKEN_END);
      expect((await graced.ask('subscribe', { keys: [] })).event).toBe('subscribed');
    });

    test('is replaced by a fresh one, and the connection lives on', async () => {
      const gateway = await start({ tokenGraceMs: 0 });
      const ending = { sub: 'ann', exp: secondsFromNow(2) };
      const [refreshed, other] = [await connect(gateway, ending), await connect(gateway, ending)];
      const token = await signToken({ sub: 'ann', exp: secondsFromNow(600) });
      expect(await refreshed.ask('auth', { token }, 'r')).toEqual({
        event: 'subscribed',
        ref: 'r',
        data: { keys: [at('meter', '5')], refused: [] },
      });
      expect(await within(other.closed, 'the other is closed')).toEqual(TOKEN_END);
      gateway.push.pushRawData({ ...at('meter', '5'), value: 1 });
      expect((await refreshed.nextEvent('rawData')).data).toMatchObject({ value: 1 });
    });

    test('a fresh one that ends sooner counts too', async () => {
      const gateway = await start({ tokenGraceMs: 0 });
      const client = await connect(gateway, { sub: 'ann', exp: secondsFromNow(600) });
      await client.ask('auth', { token: await signToken({ sub: 'ann', exp: secondsFromNow(1) }) });
      expect(await within(client.closed, 'it is closed')).toEqual(TOKEN_END);
    });
  });

  describe('auth', () => {
    test('gives up at once what the fresh token does not allow', async () => {
      const gateway = await start();
      const client = await connect(gateway, { sub: 'ann' });
      await client.ask('subscribe', {
        keys: [at('pump', '1'), at('pump', '*'), { ...at('fan', '1'), maxFrequencyHz: 5 }],
      });
      const token = await signToken({ sub: 'ann', keys: ['pump/1', 'fan/*'] });
      expect((await client.ask('auth', { token }, 7)).data).toEqual({
        keys: [at('pump', '1'), { ...at('fan', '1'), maxFrequencyHz: 5 }],
        refused: [
          { ...at('meter', '5'), reason: 'forbidden' },
          { ...at('pump', '*'), reason: 'forbidden' },
        ],
      });
      const { push } = gateway;
      expect(push.pushRawData(at('meter', '5')).matched).toBe(0);
      expect(push.pushRawData(at('pump', '2')).matched).toBe(0);
      expect(push.pushRawData({ businessType: 'pump' }).matched).toBe(0);
      expect(push.pushRawData(at('pump', '1')).matched).toBe(1);
      expect(push.pushRawData({ businessType: 'fan' }).matched).toBe(1);
      expect((await gateway.heardBy({ client })).client.map((text) => JSON.parse(text) as unknown)).toEqual([
        { event: 'rawData', data: at('pump', '1') },
        { event: 'rawData', data: { businessType: 'fan' } },
      ]);
      const again = await client.ask('subscribe', { keys: [at('meter', '5')] });
      expect(again.data).toMatchObject({ keys: [], refused: [{ reason: 'forbidden' }] });
    });

    test('a wider token lets more be subscribed to, and gives nothing by itself', async () => {
      const gateway = await start();
      const client = await connect(gateway, { sub: 'ann', keys: ['meter/5'] });
      const answer = await client.ask('auth', { token: await signToken({ sub: 'ann' }) });
      expect(answer.data).toEqual({ keys: [at('meter', '5')], refused: [] });
      expect(gateway.push.pushRawData(at('pump', '1')).matched).toBe(0);
      expect((await client.ask('subscribe', { keys: [at('pump', '1')] })).data).toMatchObject({ refused: [] });
      expect(gateway.push.pushRawData(at('pump', '1')).matched).toBe(1);
    });

    test('alarms follow the organisation of the fresh token', async () => {
      const gateway = await start();
      const client = await connect(gateway, { sub: 'ann', orgId: 'acme/plant1' }, '/ws/alarm');
      const alarms: Alarm[] = ['acme/plant1', 'acme/plant2', 'other'].map((orgId) => ({ businessId: '1', orgId }));
      const heard = async () => {
        const { cursor } = await gateway.push
          .pushAlarms([...alarms, { businessId: 'end' }])
          .then((all) => all.at(-1) ?? { cursor: '' });
        const orgs: unknown[] = [];
        for (;;) {
          const { id, data } = await client.nextEvent('alarm');
          if (id === cursor) return orgs;
          orgs.push(data['orgId']);
        }
      };
      expect(await heard()).toEqual(['acme/plant1']);
      expect(await client.ask('auth', { token: await signToken({ sub: 'ann', orgId: 'acme/plant2' }) }, 1)).toEqual({
        event: 'subscribed',
        ref: 1,
        data: { keys: [], refused: [] },
      });
      expect(await heard()).toEqual(['acme/plant2']);
      await client.ask('auth', { token: await signToken({ sub: 'ann', orgId: '*' }) });
      expect(await heard()).toEqual(['acme/plant1', 'acme/plant2', 'other']);
      await client.ask('auth', { token: await signToken({ sub: 'ann' }) });
      expect(await heard()).toEqual([]);
    });

    test.each<[string, () => Promise<string>, RegExp]>([
      ['another user’s', () => signToken({ sub: 'bob' }), /another user/],
      ['an expired one', () => signToken({ sub: 'ann', exp: secondsFromNow(-60) }), /expired/],
      [
        'one of another secret',
        () => signToken({ sub: 'ann' }, 'another secret of at least 32 bytes'),
        /not valid here/,
      ],
      ['no token', async () => 'x', /not valid here/],
    ])('%s is not taken, and the session goes on as it was', async (_what, make, message) => {
      const gateway = await start();
      const client = await connect(gateway, { sub: 'ann', keys: ['meter/5'] });
      const token = await make();
      const answer = await client.ask('auth', { token }, 'r');
      expect(answer).toEqual({
        event: 'exception',
        ref: 'r',
        data: { code: 'authentication', message: expect.stringMatching(message) },
      });
      expect(JSON.stringify(answer)).not.toContain(token.length > 9 ? token : '"x"');
      expect(gateway.push.pushRawData(at('meter', '5')).matched).toBe(1);
    });

    test.each([{}, { token: '' }, { token: 5 }, 'x', null])('%j is a bad message', async (data) => {
      const gateway = await start();
      const client = await connect(gateway, { sub: 'ann' });
      expect((await client.ask('auth', data)).data).toMatchObject({ code: 'badMessage' });
    });

    test('on the plain wire it is a text like any other', async () => {
      const gateway = await start();
      const sent: unknown[] = [];
      gateway.rawData.messages$.subscribe(({ data }) => sent.push(data));
      const client = await gateway.connect(PATH, await bearer({ sub: 'ann' }));
      client.send('{"event":"auth","data":{"token":"x"}}');
      await until(() => sent.length === 1, 'the text');
      expect(await gateway.heardBy({ client })).toEqual({ client: [] });
    });

    test('without tokens the connection is told to be made anew', async () => {
      const gateway = await gatewayOn(platform).start();
      const client = await gateway.connectPushV1(PATH);
      expect((await client.ask('auth', { token: 'x' })).data).toMatchObject({
        code: 'authentication',
        message: expect.stringContaining('connect again'),
      });
    });
  });

  describe('PushService.disconnect', () => {
    test('closes a user’s connections here, with 4403 or as it is told, and they may come again', async () => {
      const gateway = await start();
      const clients = [
        await connect(gateway, { sub: 'ann' }),
        await connect(gateway, { sub: 'ann' }, '/ws/alarm'),
        await gateway.connect(PATH, await bearer({ sub: 'ann' })),
      ];
      const bob = await connect(gateway, { sub: 'bob' }, '/ws/rowdata/meter/5/bob');
      expect(gateway.push.disconnect({ userName: 'ann' })).toBe(3);
      for (const { closed } of clients) {
        expect(await within(closed, 'it is closed')).toEqual({ code: 4403, reason: 'forbidden' });
      }
      expect(gateway.push.disconnect({ userName: 'bob' }, { code: 4000, reason: 'shift is over' })).toBe(1);
      expect(await within(bob.closed, 'it is closed')).toEqual({ code: 4000, reason: 'shift is over' });
      expect(gateway.push.disconnect({ userName: 'ann' })).toBe(0);
      expect(await statusOf(gateway, { sub: 'ann' })).toBe(101);
    });
  });

  describe('PushService.revoke', () => {
    test('of a user ends the sessions at once, and refuses what was issued before', async () => {
      const gateway = await start();
      const old = { sub: 'ann', iat: secondsFromNow(-5) };
      const clients = [await connect(gateway, old), await connect(gateway, old, '/ws/alarm')];
      const bob = await connect(gateway, { sub: 'bob', iat: secondsFromNow(-5) }, '/ws/rowdata/meter/5/bob');
      expect(await gateway.push.revoke({ userName: 'ann' })).toBe(2);
      expect(gateway.push.pushRawData(at('meter', '5')).matched).toBe(1);
      for (const { closed } of clients) expect(await within(closed, 'it is closed')).toEqual(TOKEN_END);
      for (const path of [PATH, '/ws/alarm']) {
        expect(await statusOf(gateway, old, path)).toBe('revoked');
        expect(await statusOf(gateway, { sub: 'ann' }, path)).toBe('revoked');
        expect(await statusOf(gateway, { sub: 'ann', iat: secondsFromNow(2) }, path)).toBe(101);
      }
      expect(await statusOf(gateway, { sub: 'bob', iat: secondsFromNow(-5) }, '/ws/rowdata/meter/5/bob')).toBe(101);
      expect((await bob.nextEvent('rawData')).data).toEqual(at('meter', '5'));
    });

    test('of one token ends that one alone', async () => {
      const gateway = await start();
      const [first, second] = [
        await connect(gateway, { sub: 'ann', jti: 't1' }),
        await connect(gateway, { sub: 'ann', jti: 't2' }),
      ];
      expect(await gateway.push.revoke({ tokenId: 't1' })).toBe(1);
      expect(await within(first.closed, 'it is closed')).toEqual(TOKEN_END);
      expect(await statusOf(gateway, { sub: 'ann', jti: 't1' })).toBe('revoked');
      expect(await statusOf(gateway, { sub: 'ann', jti: 't2' })).toBe(101);
      expect((await second.ask('auth', { token: await signToken({ sub: 'ann', jti: 't1' }) })).data).toEqual({
        code: 'authentication',
        message: 'the token was revoked',
      });
      expect((await second.ask('subscribe', { keys: [] })).event).toBe('subscribed');
    });

    test('while an upgrade is on its way refuses it', async () => {
      let decide: ((may: boolean) => void) | undefined;
      let asked = 0;
      class Slow extends ClaimsAuthorizer {
        override mayConnect(): Promise<boolean> {
          asked += 1;
          return new Promise((resolve) => (decide = resolve));
        }
      }
      const gateway = await start({ authorizer: new Slow() });
      const status = statusOf(gateway, { sub: 'ann', iat: secondsFromNow(-5) }, `${PATH}?snapshot=true`);
      await until(() => asked === 1, 'the authorizer is asked');
      await gateway.push.revoke({ userName: 'ann' });
      decide?.(true);
      expect(await status).toBe('revoked');
    });

    test('a session that a fresh token has moved on stays', async () => {
      const gateway = await start();
      const client = await connect(gateway, { sub: 'ann', jti: 't1' });
      await client.ask('auth', { token: await signToken({ sub: 'ann', jti: 't2' }) });
      expect(await gateway.push.revoke({ tokenId: 't1' })).toBe(0);
      expect((await client.ask('subscribe', { keys: [] })).event).toBe('subscribed');
    });

    test('what is refused says how to go on', async () => {
      const gateway = await start();
      await gateway.push.revoke({ userName: 'ann' });
      expect(await rawUpgrade(gateway.port, { path: PATH, ...(await bearer({ sub: 'ann' })) })).toMatchObject({
        status: 401,
        headers: { 'www-authenticate': 'Bearer' },
        json: { error: 'revoked', message: expect.stringContaining('fetch new ones') },
      });
    });
  });
});
