import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import type { JWTPayload } from 'jose';
import {
  type ClusterClient,
  type ClusterClientsPage,
  ClusterService,
  JwtAuthenticator,
  type PushModuleOptions,
  RevocationNotStoredError,
} from '../../src/index.js';
import { startNode, type TestNode } from '../app/node.fixture.js';
import { untilAsync, within } from '../support/deadline.js';
import { gatewayOn, type TestGateway } from '../support/gateway.fixture.js';
import { PushClient } from '../support/push.client.js';
import { rawGet, rawUpgrade } from '../support/raw-upgrade.js';
import { describeWithRedis, RedisServer } from '../support/redis.server.js';
import { secondsFromNow, signToken, TEST_SECRET } from '../support/tokens.js';

const PATH = '/ws/rowdata/meter/5/ann';
const FORBIDDEN = { code: 4403, reason: 'forbidden' };
const TOKEN_END = { code: 4401, reason: 'token expired' };
const TAKEN_OVER = { code: 4409, reason: 'taken over by a newer connection' };

const bearer = async (claims: JWTPayload) => ({ headers: { Authorization: `Bearer ${await signToken(claims)}` } });

const connect = async (gateway: TestGateway, claims: JWTPayload, path = PATH): Promise<PushClient> =>
  gateway.connectPushV1(path, await bearer(claims));

/** The status that these credentials are answered now, or the word of the refusal. */
async function statusOf(gateway: TestGateway, claims: JWTPayload, path = PATH): Promise<unknown> {
  const { status, json } = await rawUpgrade(gateway.port, { path, ...(await bearer(claims)) });
  return status === 101 ? 101 : (json as { error: string }).error;
}

const closeOf = ({ closed }: PushClient) => within(closed, 'it is closed');

async function pageOf(node: TestNode, query = ''): Promise<ClusterClientsPage> {
  const { status, body } = await node.send(`/push/clients?scope=cluster${query}`);
  expect(status).toBe(200);
  return body as ClusterClientsPage;
}

const placeOf = ({ nodeId, clientId }: ClusterClient) => `${nodeId} ${clientId}`;

describeWithRedis('nodes on one Redis', () => {
  let redis: RedisServer;
  let place: { redisUrl: string; redisPrefix: string };
  let tests = 0;

  beforeAll(async () => (redis = await RedisServer.start({ settings: { appendfsync: 'always' } })));
  afterAll(() => redis.stop());
  beforeEach(() => {
    place = { redisUrl: redis.url, redisPrefix: `test-${(tests += 1)}` };
  });

  const start = (options: PushModuleOptions = {}) =>
    gatewayOn('express')
      .withOptions({ authenticator: new JwtAuthenticator({ secret: TEST_SECRET }), ...place, ...options })
      .start();

  const startApp = (variables: Record<string, string> = {}) =>
    startNode({ PUSH_REDIS_URL: place.redisUrl, PUSH_REDIS_PREFIX: place.redisPrefix, ...variables });

  const startThree = async () => [await start(), await start(), await start()] as const;

  describe('PushService.disconnect', () => {
    test('closes the connections of a user on all nodes, and counts those of its own', async () => {
      const [first, second, third] = await startThree();
      const [own, ...others] = [
        await connect(first, { sub: 'ann' }),
        await connect(second, { sub: 'ann' }),
        await connect(third, { sub: 'ann' }, '/ws/alarm'),
      ];
      const bob = await connect(second, { sub: 'bob' }, '/ws/rowdata/meter/5/bob');
      expect(first.push.disconnect({ userName: 'ann' })).toBe(1);
      for (const client of [own, ...others]) expect(await closeOf(client)).toEqual(FORBIDDEN);
      expect(await statusOf(second, { sub: 'ann' })).toBe(101);
      expect((await bob.ask('subscribe', { keys: [] })).event).toBe('subscribed');
    });

    test('closes one connection, on whichever node, as it is told', async () => {
      const [first, second] = [await start(), await start()];
      const [meant, other] = [await connect(second, { sub: 'ann' }), await connect(second, { sub: 'ann' })];
      expect(first.push.disconnect({ clientId: meant.clientId }, { code: 4000, reason: 'over' })).toBe(0);
      expect(await closeOf(meant)).toEqual({ code: 4000, reason: 'over' });
      expect((await other.ask('subscribe', { keys: [] })).event).toBe('subscribed');
    });
  });

  describe('PushService.revoke', () => {
    test('ends the sessions on all nodes, and refuses what was issued before, also on nodes that start later', async () => {
      const [first, second, third] = await startThree();
      const old = { sub: 'ann', iat: secondsFromNow(-5) };
      const clients = [await connect(first, old), await connect(second, old), await connect(third, old, '/ws/alarm')];
      const bob = { sub: 'bob', iat: secondsFromNow(-5) };
      expect(await first.push.revoke({ userName: 'ann' })).toBe(1);
      for (const client of clients) expect(await closeOf(client)).toEqual(TOKEN_END);
      for (const node of [first, second, third, await start()]) {
        expect(await statusOf(node, old)).toBe('revoked');
        expect(await statusOf(node, { sub: 'ann', iat: secondsFromNow(2) })).toBe(101);
        expect(await statusOf(node, bob, '/ws/rowdata/meter/5/bob')).toBe(101);
      }
    });

    test('of one token outlives all nodes, and Redis being killed', async () => {
      const first = await start();
      await first.push.revoke({ tokenId: 't1' });
      await first.close();
      await redis.kill();
      await redis.restart();
      const second = await start();
      expect(await statusOf(second, { sub: 'ann', jti: 't1' })).toBe('revoked');
      expect(await statusOf(second, { sub: 'ann', jti: 't2' })).toBe(101);
    });

    test('says so where Redis is away, counts on its node, and on the others when Redis is back', async () => {
      const [first, second] = [await start(), await start()];
      const [own, other] = [
        await connect(first, { sub: 'ann', jti: 't1' }),
        await connect(second, { sub: 'ann', jti: 't1' }),
      ];
      await redis.kill();
      await expect(first.push.revoke({ tokenId: 't1' })).rejects.toBeInstanceOf(RevocationNotStoredError);
      expect(await closeOf(own)).toEqual(TOKEN_END);
      expect(await statusOf(first, { sub: 'ann', jti: 't1' })).toBe('revoked');
      expect(await statusOf(second, { sub: 'ann', jti: 't1' })).toBe(101);
      await redis.restart();
      expect(await within(other.closed, 'it is closed', 15_000)).toEqual(TOKEN_END);
      expect(await statusOf(second, { sub: 'ann', jti: 't1' })).toBe('revoked');
    });
  });

  describe('durable subscriptions', () => {
    const DURABLE = '/ws/alarm?durable=phone';
    const subscribe = async (node: TestGateway, sub = 'ann') =>
      node.connectPushV1(DURABLE, await bearer({ sub, orgId: '*' }));

    test('are taken over by the latest connection, on whichever node', async () => {
      const [first, second, third] = await startThree();
      let holder = await subscribe(first);
      for (const node of [second, third, first, first, second]) {
        const next = await subscribe(node);
        expect(await closeOf(holder)).toEqual(TAKEN_OVER);
        holder = next;
      }
      await third.push.pushAlarm({ businessId: '1', n: 1 });
      expect((await holder.nextEvent('alarm')).data).toMatchObject({ n: 1 });
    });

    test('are known with whether they are connected, and deleted, on all nodes', async () => {
      const [first, second, third] = await startThree();
      const holder = await subscribe(first);
      await subscribe(second, 'bob');
      for (const node of [first, second, third]) {
        expect(await node.alarms.subscriptions()).toMatchObject([
          { name: 'phone', isConnected: true },
          { name: 'phone', isConnected: true },
        ]);
      }
      expect(await third.alarms.deleteSubscription({ userName: 'ann', name: 'phone' })).toBe(true);
      expect(await closeOf(holder)).toEqual(FORBIDDEN);
      expect(await second.alarms.subscriptions()).toMatchObject([{ userName: 'bob', isConnected: true }]);
    });
  });

  describe('the app', () => {
    test('a ticket of one node is good on another, once', async () => {
      const variables = { PUSH_AUTH: 'jwt', PUSH_JWT_SECRET: TEST_SECRET };
      const [first, second, third] = [await startApp(variables), await startApp(variables), await startApp(variables)];
      const { headers } = await bearer({ sub: 'ann', keys: ['meter/5'] });
      const { body } = await first.post('/push/tickets', { path: PATH }, headers);
      const path = `${PATH}?ticket=${(body as { ticket: string }).ticket}`;
      expect((await rawGet(third.port, { path })).status).toBe(426);
      expect((await rawUpgrade(second.port, { path })).status).toBe(101);
      for (const node of [first, second, third]) {
        expect(await rawUpgrade(node.port, { path })).toMatchObject({ status: 401, json: { error: 'ticket' } });
      }
    });

    test('lists the clients of all nodes, in pages that are the same everywhere', async () => {
      const nodes = [await startApp(), await startApp(), await startApp()];
      const clients: PushClient[] = [];
      for (const [index, { port }] of nodes.entries()) {
        for (let n = 0; n <= index; n++) {
          clients.push(await PushClient.connectPushV1(`ws://127.0.0.1:${port}/ws/rowdata/meter/${n}/ann`));
          clients.push(await PushClient.connectPushV1(`ws://127.0.0.1:${port}/ws/alarm`));
        }
      }
      const whole = await pageOf(nodes[0] as TestNode);
      expect(whole).toMatchObject({ total: 12, unanswered: [] });
      expect(whole.nodes.map(({ rawData, alarms }) => [rawData, alarms])).toEqual([
        [1, 1],
        [2, 2],
        [3, 3],
      ]);
      expect(new Set(whole.clients.map(({ clientId }) => clientId))).toEqual(
        new Set(clients.map(({ clientId }) => clientId)),
      );
      for (const node of nodes) {
        const pages = [
          await pageOf(node, '&limit=5'),
          await pageOf(node, '&limit=5&offset=5'),
          await pageOf(node, '&offset=10'),
        ];
        expect(pages.flatMap((page) => page.clients.map(placeOf))).toEqual(whole.clients.map(placeOf));
      }
      expect((await nodes[0]?.send('/push/clients'))?.body).toMatchObject({ total: 2 });
      await Promise.all(clients.map((client) => client.cut()));
    });

    test('a node that has ended is no longer among them', async () => {
      const [first, second] = [await startApp(), await startApp()];
      expect((await pageOf(first)).nodes).toHaveLength(2);
      await second.close();
      expect(await pageOf(first)).toMatchObject({ nodes: [{ rawData: 0, alarms: 0 }], unanswered: [] });
    });

    test('says that it does not know the others while Redis is away', async () => {
      const node = await startApp();
      const cluster = node.app.get(ClusterService, { strict: false });
      await redis.kill();
      await untilAsync(
        () =>
          cluster.nodes().then(
            () => false,
            () => true,
          ),
        'Redis is away',
      );
      expect(await node.send('/push/clients?scope=cluster')).toMatchObject({
        status: 503,
        body: { error: 'clusterUnavailable' },
      });
      expect(await node.send('/push/clients')).toMatchObject({ status: 200 });
      await redis.restart();
      await untilAsync(
        () =>
          cluster.nodes().then(
            (nodes) => nodes.length === 1,
            () => false,
          ),
        'Redis is back',
        15_000,
      );
    });
  });
});
