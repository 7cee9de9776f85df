import { afterEach, describe, expect, jest, test } from '@jest/globals';
import { PushService } from '../../src/index.js';
import { type Answer, startNode, type TestNode } from '../app/node.fixture.js';
import { until } from '../support/deadline.js';
import { LogCapture } from '../support/log.capture.js';
import { PushClient } from '../support/push.client.js';
import { type HttpAnswer, rawGet, rawUpgrade } from '../support/raw-upgrade.js';
import { secondsFromNow, signToken, TEST_SECRET } from '../support/tokens.js';

const PATH = '/ws/rowdata/meter/5/ann';
const WITH_JWT = { PUSH_AUTH: 'jwt', PUSH_JWT_SECRET: TEST_SECRET };

let log: LogCapture | undefined;

afterEach(() => {
  jest.restoreAllMocks();
  log?.stop();
  log = undefined;
});

const bearer = (token: string) => ({ Authorization: `Bearer ${token}` });

async function askForTicket(node: TestNode, path: unknown, token?: string): Promise<Answer> {
  return node.post('/push/tickets', { path }, bearer(token ?? (await signToken({ sub: 'ann' }))));
}

async function ticketFor(node: TestNode, path: string, token?: string): Promise<string> {
  const { status, body } = await askForTicket(node, path, token);
  if (status !== 201) throw new Error(`no ticket: ${JSON.stringify(body)}`);
  return (body as { ticket: string }).ticket;
}

const connect = (node: TestNode, path: string, ticket: string): Promise<HttpAnswer> =>
  rawUpgrade(node.port, { path: `${path}?ticket=${ticket}` });

const USED = { status: 401, json: { statusCode: 401, error: 'ticket' }, headers: { 'www-authenticate': 'Bearer' } };

describe('POST /push/tickets', () => {
  test('gives a ticket that lets its user in once, on either gateway', async () => {
    const node = await startNode(WITH_JWT);
    for (const path of [PATH, '/ws/alarm']) {
      const { status, headers, body } = await askForTicket(node, path);
      expect({ status, body }).toEqual({
        status: 201,
        body: { ticket: expect.stringMatching(/^[A-Za-z0-9_-]{32}$/), expiresInMs: 30_000 },
      });
      expect(headers['cache-control']).toBe('no-store');
      const { ticket } = body as { ticket: string };
      expect((await connect(node, path, ticket)).status).toBe(101);
      expect(await connect(node, path, ticket)).toMatchObject(USED);
      expect(await rawGet(node.port, { path: `${path}?ticket=${ticket}` })).toMatchObject(USED);
    }
  });

  test('it goes beside the other names of the query', async () => {
    const node = await startNode(WITH_JWT);
    const ticket = await ticketFor(node, '/ws/alarm');
    const path = `/ws/alarm?minSeverity=5&ticket=${ticket}&businessId=1`;
    expect((await rawUpgrade(node.port, { path })).status).toBe(101);
  });

  test('what the token may see is what the ticket may', async () => {
    const node = await startNode(WITH_JWT);
    const ticket = await ticketFor(node, PATH, await signToken({ sub: 'ann', keys: ['meter/5'] }));
    const client = await PushClient.connectPushV1(`ws://127.0.0.1:${node.port}${PATH}?ticket=${ticket}`);
    const keys = [{ businessType: 'meter', businessId: '6' }];
    expect((await client.ask('subscribe', { keys })).data).toMatchObject({
      keys: [],
      refused: [{ reason: 'forbidden' }],
    });
    await client.cut();
  });

  test('it is good for 30 s', async () => {
    const startMs = Date.now();
    const now = jest.spyOn(Date, 'now').mockImplementation(() => startMs);
    const node = await startNode(WITH_JWT);
    const [early, late] = [await ticketFor(node, PATH), await ticketFor(node, PATH)];
    now.mockImplementation(() => startMs + 29_999);
    expect((await connect(node, PATH, early)).status).toBe(101);
    now.mockImplementation(() => startMs + 30_000);
    expect(await connect(node, PATH, late)).toMatchObject(USED);
  });

  test('a plain GET asks, and does not use it up', async () => {
    const node = await startNode(WITH_JWT);
    const ticket = await ticketFor(node, PATH);
    for (let n = 0; n < 3; n++) {
      expect((await rawGet(node.port, { path: `${PATH}?ticket=${ticket}` })).status).toBe(426);
    }
    expect((await connect(node, PATH, ticket)).status).toBe(101);
  });

  test.each(['/ws/rowdata/meter/6/ann', '/ws/alarm', '/ws/rowdata/%6deter/5/ann', '/ws/rowdata/meter/5/bob'])(
    'on %s it is worth nothing, and is used up',
    async (path) => {
      const node = await startNode(WITH_JWT);
      const ticket = await ticketFor(node, PATH);
      expect(await connect(node, path, ticket)).toMatchObject(USED);
      expect(await connect(node, PATH, ticket)).toMatchObject(USED);
    },
  );

  test.each(['', 'x', 'x'.repeat(1000), '__proto__'])('a made-up one is refused: %j', async (ticket) => {
    const node = await startNode(WITH_JWT);
    expect(await connect(node, PATH, ticket)).toMatchObject(USED);
    // Also beside a good token: whoever sends one means it.
    const headers = bearer(await signToken({ sub: 'ann' }));
    expect(await rawUpgrade(node.port, { path: `${PATH}?ticket=${ticket}`, headers })).toMatchObject(USED);
  });

  test('answers what connecting would be answered', async () => {
    const node = await startNode(WITH_JWT);
    const refused = async (path: string, token?: string) => {
      const { status, body } = await askForTicket(node, path, token);
      const { error } = body as { error: string };
      expect(body).toEqual({ statusCode: status, error, message: expect.any(String) });
      return `${status} ${error}`;
    };
    expect(await refused('/ws/rowdata/meter/5/bob')).toBe('403 forbiddenUser');
    expect(await refused(PATH, await signToken({ sub: 'ann', keys: ['pump/*'] }))).toBe('403 forbiddenKey');
    expect(await refused(PATH, await signToken({ sub: 'ann', exp: secondsFromNow(-60) }))).toBe('401 tokenExpired');
    expect(await refused(PATH, 'x.y.z')).toBe('401 tokenInvalid');
    expect(await refused('/ws/rowdata/meter/*/ann')).toBe('400 parameter');
    for (const path of ['/nowhere', '/push/tickets', '', `${PATH}?a=b`, 'http://evil.example/ws/alarm', `${PATH}/`]) {
      expect(await refused(path)).toBe('400 path');
    }
    const origin = await node.post(
      '/push/tickets',
      { path: PATH },
      { ...bearer(await signToken({ sub: 'ann' })), Origin: 'https://evil.example' },
    );
    expect(origin).toMatchObject({ status: 403, body: { error: 'origin' } });
    const without = await node.post('/push/tickets', { path: PATH });
    expect(without).toMatchObject({
      status: 401,
      body: { error: 'tokenMissing' },
      headers: { 'www-authenticate': 'Bearer' },
    });
  });

  test.each([[{}], [[]], [{ path: 5 }], [{ path: null }], [{ path: ['/ws/alarm'] }]])('refuses %j', async (body) => {
    const node = await startNode(WITH_JWT);
    const answer = await node.post('/push/tickets', body, bearer(await signToken({ sub: 'ann' })));
    expect(answer).toMatchObject({ status: 400, body: { error: 'invalidPush', field: 'path' } });
  });

  test('a ticket gives no ticket', async () => {
    const node = await startNode(WITH_JWT);
    const ticket = await ticketFor(node, PATH);
    for (const headers of [{}, bearer(ticket), bearer(await signToken({ sub: 'ann' }))]) {
      const answer = await node.post(`/push/tickets?ticket=${ticket}`, { path: PATH }, headers);
      expect(answer).toMatchObject({ status: 401 });
    }
    expect(await node.post('/push/tickets', { path: PATH }, bearer(ticket))).toMatchObject({ status: 401 });
  });

  test('is no longer good once its user is revoked', async () => {
    const node = await startNode(WITH_JWT);
    const ticket = await ticketFor(node, PATH, await signToken({ sub: 'ann', iat: secondsFromNow(-5) }));
    await node.app.get(PushService, { strict: false }).revoke({ userName: 'ann' });
    expect(await connect(node, PATH, ticket)).toMatchObject({ status: 401, json: { error: 'revoked' } });
  });

  test('is in no log line and in no refusal', async () => {
    const node = await startNode(WITH_JWT);
    log = LogCapture.start();
    const token = await signToken({ sub: 'ann' });
    const ticket = await ticketFor(node, PATH, token);
    await connect(node, PATH, ticket);
    const refused = await connect(node, PATH, ticket);
    await until(() => log?.audit().some(({ event }) => event === 'disconnect') === true, 'it is gone');
    expect(refused.body + log.text).not.toContain(ticket);
    expect(refused.body + log.text).not.toContain(token.split('.')[2]);
  });

  test('takes a place only while it is asked for', async () => {
    const node = await startNode({ ...WITH_JWT, PUSH_MAX_CONNECTIONS: '1' });
    for (let n = 0; n < 3; n++) await ticketFor(node, PATH);
    const client = await PushClient.connect(`ws://127.0.0.1:${node.port}${PATH}?ticket=${await ticketFor(node, PATH)}`);
    const full = await askForTicket(node, PATH);
    expect(full).toMatchObject({ status: 503, body: { error: 'full' }, headers: { 'retry-after': '5' } });
    await client.cut();
  });
});
