import { afterEach, describe, expect, jest, test } from '@jest/globals';
import { ALARM_LOG, type AlarmLog } from '../../src/alarm-log/alarm-log.js';
import { NodeState } from '../../src/gateway/node-state.js';
import { AlarmNotAcceptedError } from '../../src/push.errors.js';
import { startNode, type TestNode } from '../app/node.fixture.js';
import { PushClient } from '../support/push.client.js';
import { signToken, TEST_SECRET } from '../support/tokens.js';

const MIB = 1024 * 1024;
const DATUM = { businessType: 'meter', businessId: '1', series: 'power', value: 7 };
const KEY = 'a-key-of-the-test';

const openClients: PushClient[] = [];

async function connect(node: TestNode, path = '/ws/rowdata/meter/1/ann'): Promise<PushClient> {
  const client = await PushClient.connectPushV1(`ws://127.0.0.1:${node.port}${path}`);
  openClients.push(client);
  return client;
}

afterEach(async () => {
  await Promise.all(openClients.splice(0).map((client) => client.cut()));
});

describe('POST /push/raw-data', () => {
  test('pushes one and answers 202 with how many matched', async () => {
    const node = await startNode();
    const client = await connect(node);
    expect(await node.post('/push/raw-data', DATUM)).toMatchObject({ status: 202, body: { accepted: 1, matched: 1 } });
    expect(await client.nextEvent('rawData')).toEqual({ event: 'rawData', data: DATUM });
  });

  test('pushes an array in its order and sums what matched', async () => {
    const node = await startNode();
    const client = await connect(node);
    const answer = await node.post('/push/raw-data', [DATUM, { ...DATUM, value: 8 }, { ...DATUM, businessId: '10' }]);
    expect(answer).toMatchObject({ status: 202, body: { accepted: 3, matched: 2 } });
    expect((await client.nextEvent('rawData')).data).toEqual(DATUM);
    expect((await client.nextEvent('rawData')).data).toEqual({ ...DATUM, value: 8 });
  });

  test('takes the address and who is left out from the query', async () => {
    const node = await startNode();
    const ann = await connect(node);
    await connect(node, '/ws/rowdata/meter/1/bob');
    const matched = async (query: string) => (await node.post(`/push/raw-data?${query}`, DATUM)).body;
    expect(await matched('to.userName=ann')).toEqual({ accepted: 1, matched: 1 });
    expect(await matched('to.businessType=meter&to.businessId=1')).toEqual({ accepted: 1, matched: 2 });
    expect(await matched(`except=${ann.clientId}`)).toEqual({ accepted: 1, matched: 1 });
    expect(await matched(`to.clientId=${ann.clientId}&to.userName=bob`)).toEqual({ accepted: 1, matched: 0 });
  });

  test.each([
    ['to=ann', 'to'],
    ['to.user=ann', 'to.user'],
    ['to.userName=', 'to.userName'],
    ['to.userName=ann&to.userName=bob', 'to.userName'],
    ['to.businessId=1', 'to.businessId'],
    ['excpet=x', 'excpet'],
  ])('refuses the query %s', async (query, field) => {
    const node = await startNode();
    expect(await node.post(`/push/raw-data?${query}`, DATUM)).toMatchObject({
      status: 400,
      body: { statusCode: 400, error: 'invalidPush', message: expect.stringContaining(field), field },
    });
  });

  test.each([
    [{ businessId: '1' }, 'businessType'],
    [{ businessType: 'meter', businessId: '*' }, 'businessId'],
    [[DATUM, { businessId: '1' }], '[1].businessType'],
    [[DATUM, 7], '[1]'],
  ])('refuses %j and names the field', async (body, field) => {
    const node = await startNode();
    const client = await connect(node);
    expect(await node.post('/push/raw-data', body)).toMatchObject({ status: 400, body: { field } });
    expect(await node.post('/push/raw-data', { ...DATUM, value: 'the only one' })).toMatchObject({ status: 202 });
    // All or nothing: what stood before the fault was not sent.
    expect((await client.nextEvent('rawData')).data['value']).toBe('the only one');
  });

  test('refuses what JSON can write and not carry', async () => {
    const node = await startNode();
    const body = '[{"businessType":"meter"},{"businessType":"meter","value":1e999}]';
    const answer = await node.post('/push/raw-data', body, { 'Content-Type': 'application/json' });
    expect(answer).toMatchObject({ status: 400, body: { field: '[1].value' } });
  });

  test('takes no data and no body for what they are', async () => {
    const node = await startNode();
    expect(await node.post('/push/raw-data', [])).toMatchObject({ status: 202, body: { accepted: 0, matched: 0 } });
    const answer = await node.post('/push/raw-data', undefined, { 'Content-Type': 'application/json' });
    expect(answer).toMatchObject({ status: 400, body: { field: 'businessType' } });
  });

  test('takes a body of 1 MiB and refuses one that is a byte longer', async () => {
    const node = await startNode();
    const envelope = JSON.stringify({ ...DATUM, text: '' }).length;
    const ofSize = (bytes: number) => ({ ...DATUM, text: 'x'.repeat(bytes - envelope) });
    expect(await node.post('/push/raw-data', ofSize(MIB))).toMatchObject({ status: 202 });
    expect(await node.post('/push/raw-data', ofSize(MIB + 1))).toMatchObject({
      status: 413,
      body: { statusCode: 413, error: 'payloadTooLarge' },
    });
  });

  test('refuses a datum that grows over 1 MiB when it is encoded', async () => {
    const node = await startNode();
    const numbers = Array.from({ length: 60_000 }, () => '1e20').join();
    const body = `{"businessType":"meter","values":[${numbers}]}`;
    const answer = await node.post('/push/raw-data', body, { 'Content-Type': 'application/json' });
    expect(answer).toMatchObject({ status: 413, body: { error: 'payloadTooLarge' } });
  });

  test.each([
    ['{"businessType":', 'application/json', 400, 'badRequest'],
    ['"meter"', 'application/json', 400, 'badRequest'],
    [JSON.stringify(DATUM), 'text/plain', 415, 'unsupportedMediaType'],
    ['businessType=meter', 'application/x-www-form-urlencoded', 415, 'unsupportedMediaType'],
    [JSON.stringify(DATUM), 'application/json; charset=klingon', 415, 'unsupportedMediaType'],
  ])('answers %s as %s with %i', async (body, contentType, status, error) => {
    const node = await startNode();
    const answer = await node.post('/push/raw-data', body, { 'Content-Type': contentType });
    expect(answer).toMatchObject({ status, body: { statusCode: status, error, message: expect.any(String) } });
  });
});

describe('POST /push/alarms', () => {
  const ALARM = { businessId: 'pump', severity: 800, message: 'hot' };

  test('answers 201 with the cursor and delivers', async () => {
    const node = await startNode();
    const client = await connect(node, '/ws/alarm');
    const { status, body } = await node.post('/push/alarms', ALARM);
    const { id, data } = await client.nextEvent('alarm');
    expect({ status, body }).toEqual({ status: 201, body: { alarms: [{ cursor: id, duplicate: false }] } });
    expect(data).toEqual(ALARM);
  });

  test('takes an array, all or nothing', async () => {
    const node = await startNode();
    const refused = await node.post('/push/alarms', [ALARM, { ...ALARM, severity: 1001 }]);
    expect(refused).toMatchObject({ status: 400, body: { error: 'invalidPush', field: '[1].severity' } });
    const { status, body } = await node.post('/push/alarms', [ALARM, { ...ALARM, message: 'hotter' }]);
    expect(status).toBe(201);
    expect(body).toEqual({
      alarms: [
        { cursor: expect.stringMatching(/\.1$/), duplicate: false },
        { cursor: expect.stringMatching(/\.2$/), duplicate: false },
      ],
    });
    expect(await node.post('/push/alarms', [])).toMatchObject({ status: 201, body: { alarms: [] } });
  });

  test('stores an eventId once, and refuses it for other content', async () => {
    const node = await startNode();
    const first = await node.post('/push/alarms', { ...ALARM, eventId: 'e1' });
    const again = await node.post('/push/alarms', { ...ALARM, eventId: 'e1' });
    expect(again.body).toEqual({ alarms: [{ ...receiptOf(first.body), duplicate: true }] });
    const other = await node.post('/push/alarms', { ...ALARM, message: 'cold', eventId: 'e1' });
    expect(other).toMatchObject({ status: 409, body: { statusCode: 409, error: 'eventIdConflict' } });
  });

  test.each([
    [{ message: 'hot' }, 'businessId'],
    [{ ...ALARM, active: true }, 'conditionId'],
    ['hot', 'body'],
  ])('refuses %j', async (body, field) => {
    const node = await startNode();
    const answer =
      typeof body === 'string' ? await node.post('/push/alarms', [[]]) : await node.post('/push/alarms', body);
    expect(answer).toMatchObject({ status: 400, body: { field: field === 'body' ? '[0]' : field } });
  });

  test('takes no query', async () => {
    const node = await startNode();
    expect(await node.post('/push/alarms?to.userName=ann', ALARM)).toMatchObject({
      status: 400,
      body: { field: 'to.userName' },
    });
  });

  test('refuses an alarm over 64 KiB', async () => {
    const node = await startNode();
    const answer = await node.post('/push/alarms', { ...ALARM, text: 'x'.repeat(65_536) });
    expect(answer).toMatchObject({ status: 413, body: { error: 'payloadTooLarge' } });
  });

  test('answers 503 where the log does not take it', async () => {
    const node = await startNode();
    const log = node.app.get<AlarmLog>(ALARM_LOG, { strict: false });
    jest.spyOn(log, 'append').mockRejectedValueOnce(new AlarmNotAcceptedError('rejected', 'the disk is full'));
    expect(await node.post('/push/alarms', ALARM)).toMatchObject({
      status: 503,
      body: { statusCode: 503, error: 'alarmNotAccepted', message: expect.stringContaining('the disk is full') },
    });
  });

  test('tells nothing of an unexpected fault', async () => {
    const node = await startNode();
    const log = node.app.get<AlarmLog>(ALARM_LOG, { strict: false });
    jest.spyOn(log, 'append').mockRejectedValueOnce(new Error('secret path'));
    const answer = await node.post('/push/alarms', ALARM);
    expect(answer).toMatchObject({ status: 500, body: { error: 'internalServerError' } });
    expect(JSON.stringify(answer.body)).not.toContain('secret');
  });
});

describe('who may use the publish routes', () => {
  const routes = [
    { path: '/push/raw-data', method: 'POST', body: DATUM },
    { path: '/push/alarms', method: 'POST', body: { businessId: 'pump' } },
    { path: '/push/clients', method: 'GET', body: undefined },
  ];

  test.each(routes)('$method $path: only this machine, where there is no key', async ({ path, method, body }) => {
    const node = await startNode();
    const statusWith = async (headers: Record<string, string>) =>
      (await node.send(path, { method, body, headers })).status;
    expect(await statusWith({ Host: `localhost:${node.port}` })).toBeLessThan(300);
    expect(await statusWith({ Host: 'rebound.example' })).toBe(403);
    expect(await statusWith({ 'X-Forwarded-For': '127.0.0.1' })).toBe(403);
    expect(await statusWith({ Forwarded: 'for=127.0.0.1' })).toBe(403);
  });

  test.each(routes)('$method $path: no page of a foreign origin', async ({ path, method, body }) => {
    const node = await startNode({ PUSH_PUBLISH_KEY: KEY });
    const statusFrom = async (Origin: string) =>
      (await node.send(path, { method, body, headers: { Origin, Authorization: `Bearer ${KEY}` } })).status;
    expect(await statusFrom(`http://127.0.0.1:${node.port}`)).toBeLessThan(300);
    expect(await statusFrom('http://127.0.0.1:1')).toBe(403);
    expect(await statusFrom('null')).toBe(403);
  });

  test('a page of an origin in the list', async () => {
    const node = await startNode({ PUSH_ALLOWED_ORIGINS: 'https://app.example' });
    const statusFrom = async (Origin: string) => (await node.post('/push/raw-data', DATUM, { Origin })).status;
    expect(await statusFrom('https://app.example')).toBe(202);
    expect(await statusFrom('https://app.example.evil.example')).toBe(403);
  });

  test.each(routes)('$method $path: whoever has the key, where there is one', async ({ path, method, body }) => {
    const node = await startNode({ PUSH_PUBLISH_KEY: KEY });
    const withAuthorization = (Authorization: string) =>
      node.send(path, { method, body, headers: { Authorization, Host: 'push.example' } });
    expect((await withAuthorization(`Bearer ${KEY}`)).status).toBeLessThan(300);
    expect((await withAuthorization(`bearer ${KEY}`)).status).toBeLessThan(300);
    for (const wrong of ['', KEY, 'Bearer', `Bearer ${KEY}x`, `Basic ${KEY}`]) {
      const { status, headers, body: answer } = await withAuthorization(wrong);
      expect({ status, challenge: headers['www-authenticate'] }).toEqual({ status: 401, challenge: 'Bearer' });
      expect(answer).toMatchObject({ statusCode: 401, error: 'unauthorized' });
    }
  });

  const withTokens = { PUSH_AUTH: 'jwt', PUSH_JWT_SECRET: TEST_SECRET };

  test.each(routes)('$method $path: nobody with tokens and without a key', async ({ path, method, body }) => {
    for (const variables of [withTokens, { ...withTokens, PUSH_ALLOW_ANONYMOUS: 'true' }]) {
      const node = await startNode(variables);
      const headers = { Authorization: `Bearer ${await signToken({ sub: 'ann' })}` };
      expect(await node.send(path, { method, body, headers })).toMatchObject({
        status: 403,
        body: { error: 'forbidden', message: expect.stringContaining('PUSH_PUBLISH_KEY') },
      });
    }
  });

  test.each(routes)('$method $path: with tokens and a key the key, and no token', async ({ path, method, body }) => {
    const node = await startNode({ ...withTokens, PUSH_PUBLISH_KEY: KEY });
    const statusWith = async (key: string) =>
      (await node.send(path, { method, body, headers: { Authorization: `Bearer ${key}` } })).status;
    expect(await statusWith(KEY)).toBeLessThan(300);
    expect(await statusWith(await signToken({ sub: 'ann' }))).toBe(401);
    expect(await statusWith(TEST_SECRET.replaceAll(/[^a-z]/g, ''))).toBe(401);
  });

  test('the key of publishing opens no gateway, and gives no ticket', async () => {
    const node = await startNode({ ...withTokens, PUSH_PUBLISH_KEY: KEY });
    const headers = { Authorization: `Bearer ${KEY}` };
    expect(await node.send('/ws/alarm', { headers })).toMatchObject({ status: 401, body: { error: 'tokenInvalid' } });
    expect(await node.post('/push/tickets', { path: '/ws/alarm' }, headers)).toMatchObject({ status: 401 });
  });

  test('everybody with PUSH_ALLOW_ANONYMOUS and without a key', async () => {
    const node = await startNode({ PUSH_ALLOW_ANONYMOUS: 'true' });
    expect((await node.post('/push/raw-data', DATUM, { Host: 'push.example' })).status).toBe(202);
  });

  test('nobody once the node drains', async () => {
    const node = await startNode();
    node.app.get(NodeState, { strict: false }).enter('draining');
    expect(await node.post('/push/raw-data', DATUM)).toMatchObject({
      status: 503,
      body: { error: 'serviceUnavailable' },
    });
  });
});

describe('GET /push/clients', () => {
  test('lists the clients of both gateways in pages', async () => {
    const node = await startNode();
    const ann = await connect(node);
    const bob = await connect(node, '/ws/rowdata/meter/2/bob');
    const operator = await connect(node, '/ws/alarm');
    const idsOf = async (query: string) => {
      const { total, clients } = (await node.send(`/push/clients${query}`)).body as {
        total: number;
        clients: { clientId: string }[];
      };
      return [total, ...clients.map(({ clientId }) => clientId)];
    };
    expect(await idsOf('')).toEqual([3, ann.clientId, bob.clientId, operator.clientId]);
    expect(await idsOf('?limit=1')).toEqual([3, ann.clientId]);
    expect(await idsOf('?limit=2&offset=1')).toEqual([3, bob.clientId, operator.clientId]);
    expect(await idsOf('?offset=2')).toEqual([3, operator.clientId]);
    expect(await idsOf('?offset=3')).toEqual([3]);
  });

  test('shows what a client is and how it keeps up', async () => {
    const node = await startNode();
    const { clientId } = await connect(node);
    expect((await node.send('/push/clients')).body).toEqual({
      total: 1,
      clients: [
        {
          gateway: 'rawData',
          clientId,
          key: `websocket:rowdata:meter:1:ann:${clientId}`,
          userName: 'ann',
          remoteAddress: expect.stringContaining('127.0.0.1'),
          wireFormat: 'push.v1',
          connectedAt: expect.stringMatching(/^\d{4}-\d\d-\d\dT/),
          inFlightBytes: expect.any(Number),
          outboxBytes: 0,
          behind: 0,
          conflated: 0,
          subscriptions: [{ businessType: 'meter', businessId: '1' }],
        },
      ],
    });
  });

  test('of all nodes: without Redis this one', async () => {
    const node = await startNode();
    const { clientId } = await connect(node);
    const operator = await connect(node, '/ws/alarm');
    const { total, clients } = (await node.send('/push/clients?scope=node')).body as {
      total: number;
      clients: object[];
    };
    const nodeId = expect.stringMatching(/^[\w-]{12}$/);
    expect((await node.send('/push/clients?scope=cluster')).body).toEqual({
      total,
      nodes: [{ nodeId, rawData: 1, alarms: 1 }],
      unanswered: [],
      clients: clients.map((client) => ({ nodeId, ...client })),
    });
    expect((await node.send('/push/clients?scope=cluster&limit=1&offset=1')).body).toMatchObject({
      total: 2,
      clients: [{ clientId: operator.clientId }],
    });
    expect(clients).toMatchObject([{ clientId }, { clientId: operator.clientId }]);
  });

  test.each([
    ['limit=0', 'limit'],
    ['limit=1001', 'limit'],
    ['limit=ten', 'limit'],
    ['offset=-1', 'offset'],
    ['page=2', 'page'],
    ['scope=all', 'scope'],
    ['scope=node&scope=cluster', 'scope'],
  ])('refuses %s', async (query, field) => {
    const node = await startNode();
    expect(await node.send(`/push/clients?${query}`)).toMatchObject({ status: 400, body: { field } });
  });
});

describe('the other routes', () => {
  test('health: alive, ready, and not ready once the node drains', async () => {
    const node = await startNode();
    expect(await node.send('/health/live')).toMatchObject({ status: 200, body: { status: 'ok' } });
    const alarmLog = { durable: expect.any(Boolean) };
    expect(await node.send('/health/ready')).toMatchObject({ status: 200, body: { status: 'ok', alarmLog } });
    node.app.get(NodeState, { strict: false }).enter('draining');
    expect(await node.send('/health/live')).toMatchObject({ status: 200 });
    expect(await node.send('/health/ready')).toMatchObject({ status: 503, body: { status: 'unavailable', alarmLog } });
  });

  test.each(['/', '/assets/dashboard.js', '/demo/host', '/nowhere'])('no %s without the demo', async (path) => {
    const node = await startNode();
    expect(await node.send(path)).toMatchObject({ status: 404, body: { statusCode: 404, error: 'notFound' } });
  });

  test('the dashboard with strict headers, and only its own files', async () => {
    const node = await startNode({ PUSH_DEMO: 'true' });
    const { status, headers } = await node.send('/');
    expect(status).toBe(200);
    expect(headers).toMatchObject({
      'content-type': 'text/html; charset=utf-8',
      'content-security-policy': expect.stringContaining("default-src 'none'; script-src 'self'"),
      'x-content-type-options': 'nosniff',
    });
    expect(headers).not.toHaveProperty('x-powered-by');
    const script = await node.send('/assets/uPlot.esm.js');
    expect(script).toMatchObject({ status: 200, headers: { 'content-type': 'text/javascript; charset=utf-8' } });
    const unchanged = await node.send('/assets/uPlot.esm.js', {
      headers: { 'If-None-Match': String(script.headers['etag']) },
    });
    expect(unchanged.status).toBe(304);
    for (const name of ['..%2findex.html', '%2e%2e%2fmain.ts', 'package.json', '__proto__']) {
      expect((await node.send(`/assets/${name}`)).status).toBe(404);
    }
  });
});

function receiptOf(body: unknown): object {
  const { alarms } = body as { alarms: object[] };
  return alarms[0] ?? {};
}
