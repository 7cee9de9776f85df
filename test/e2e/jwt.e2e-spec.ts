import { afterEach, describe, expect, test } from '@jest/globals';
import { generateKeyPair, SignJWT } from 'jose';
import { WebSocket } from 'undici';
import {
  Authenticator,
  type Handshake,
  JwtAuthenticator,
  type JwtOptions,
  type Principal,
  type PushModuleOptions,
} from '../../src/index.js';
import { until, within } from '../support/deadline.js';
import { gatewayOn, PLATFORMS } from '../support/gateway.fixture.js';
import { LogCapture } from '../support/log.capture.js';
import { type HttpAnswer, rawGet, type RawRequest, rawUpgrade } from '../support/raw-upgrade.js';
import { forgeToken, secondsFromNow, signToken, TEST_SECRET } from '../support/tokens.js';

const PATH = '/ws/rowdata/meter/5/ann';
const NOW = () => secondsFromNow(0);
const bearing = (token: string): RawRequest => ({ path: PATH, headers: { Authorization: `Bearer ${token}` } });

const offering = (offers: string): RawRequest => ({ path: PATH, headers: { 'Sec-WebSocket-Protocol': offers } });

let log: LogCapture | undefined;

afterEach(() => {
  log?.stop();
  log = undefined;
});

describe.each(PLATFORMS)('JSON Web Tokens on %s', (platform) => {
  const start = (jwt: Partial<JwtOptions> = {}, options: PushModuleOptions = {}) =>
    gatewayOn(platform)
      .withOptions({ authenticator: new JwtAuthenticator({ secret: TEST_SECRET, ...jwt }), ...options })
      .prepared(() => (log = LogCapture.start()))
      .start();

  test('a good one lets in, on both gateways', async () => {
    const gateway = await start();
    const token = await signToken({ sub: 'ann', iat: NOW(), exp: secondsFromNow(60) });
    for (const path of [PATH, '/ws/alarm']) {
      expect((await rawUpgrade(gateway.port, { ...bearing(token), path })).status).toBe(101);
      expect(await rawGet(gateway.port, { ...bearing(token), path })).toMatchObject({
        status: 426,
        json: { error: 'upgradeRequired' },
      });
    }
  });

  const refused: [string, (() => Promise<string>) | undefined, number, string][] = [
    ['none', undefined, 401, 'tokenMissing'],
    [
      'an expired one',
      () => signToken({ sub: 'ann', iss: 'us', aud: 'push', exp: secondsFromNow(-60) }),
      401,
      'tokenExpired',
    ],
    [
      'one that is not valid yet',
      () => signToken({ sub: 'ann', iss: 'us', aud: 'push', nbf: secondsFromNow(60) }),
      401,
      'tokenInvalid',
    ],
    ['alg none', async () => forgeToken({ alg: 'none' }, { sub: 'ann', iss: 'us' }), 401, 'tokenInvalid'],
    [
      'another secret',
      () => signToken({ sub: 'ann', iss: 'us', aud: 'push' }, 'another secret of at least 32 bytes'),
      401,
      'tokenInvalid',
    ],
    ['another issuer', () => signToken({ sub: 'ann', iss: 'them', aud: 'push' }), 401, 'tokenInvalid'],
    ['another audience', () => signToken({ sub: 'ann', iss: 'us', aud: 'mail' }), 401, 'tokenInvalid'],
    ['no user', () => signToken({ iss: 'us', aud: 'push' }), 401, 'tokenClaims'],
    ['another user’s', () => signToken({ sub: 'bob', iss: 'us', aud: 'push' }), 403, 'forbiddenUser'],
    ['one in another case', () => signToken({ sub: 'Ann', iss: 'us', aud: 'push' }), 403, 'forbiddenUser'],
    [
      'one without this key',
      () => signToken({ sub: 'ann', iss: 'us', aud: 'push', keys: ['meter/50'] }),
      403,
      'forbiddenKey',
    ],
  ];

  test.each(refused)('%s: an upgrade and a plain GET are answered alike', async (_what, make, status, error) => {
    const gateway = await start({ issuer: 'us', audience: 'push' });
    const token = await make?.();
    const request = token === undefined ? { path: PATH } : bearing(token);
    const answers: HttpAnswer[] = [await rawUpgrade(gateway.port, request), await rawGet(gateway.port, request)];
    for (const answer of answers) {
      expect(answer).toMatchObject({ status, json: { statusCode: status, error, message: expect.any(String) } });
      expect(answer.headers['www-authenticate']).toBe(status === 401 ? 'Bearer' : undefined);
      expect(answer.headers['cache-control']).toBe('no-store');
    }
    expect(answers[0]?.body).toBe(answers[1]?.body);
    expect(gateway.rawData.count()).toBe(0);
    await until(() => gateway.placesTaken === 0, 'no place is taken');
  });

  test('an encoded user is compared decoded', async () => {
    const gateway = await start();
    const token = await signToken({ sub: 'a/b:ü' });
    const path = `/ws/rowdata/meter/5/${encodeURIComponent('a/b:ü')}`;
    expect((await rawUpgrade(gateway.port, { ...bearing(token), path })).status).toBe(101);
  });

  describe('in a subprotocol', () => {
    test('beside push.v1, which alone is answered', async () => {
      const gateway = await start();
      const token = await signToken({ sub: 'ann' });
      for (const offers of [`push.v1, bearer.${token}`, `bearer.${token},push.v1`]) {
        const answer = await rawUpgrade(gateway.port, offering(offers));
        expect(answer).toMatchObject({ status: 101, headers: { 'sec-websocket-protocol': 'push.v1' } });
        expect(JSON.stringify(answer)).not.toContain(token.split('.')[1]);
      }
    });

    test('a client that offers both is told push.v1 and works', async () => {
      const gateway = await start();
      const token = await signToken({ sub: 'ann' });
      const socket = new WebSocket(gateway.url(PATH), ['push.v1', `bearer.${token}`]);
      const first = new Promise<string>((resolve, reject) => {
        socket.addEventListener('message', ({ data }) => resolve(String(data)));
        socket.addEventListener('close', () => reject(new Error('closed')));
      });
      expect(JSON.parse(await within(first, 'ready'))).toMatchObject({ event: 'ready' });
      expect(socket.protocol).toBe('push.v1');
      const closed = new Promise((resolve) => socket.addEventListener('close', resolve));
      socket.close();
      await within(closed, 'close');
    });

    test('alone it is refused, for no browser could be answered', async () => {
      const gateway = await start();
      const answer = await rawUpgrade(gateway.port, offering(`bearer.${await signToken({ sub: 'ann' })}`));
      expect(answer).toMatchObject({ status: 400, json: { error: 'subprotocol' } });
    });

    test('that is empty or no token is refused', async () => {
      const gateway = await start();
      for (const offers of ['push.v1, bearer.', 'push.v1, bearer.x', 'push.v1, bearer.a.b.c']) {
        expect(await rawUpgrade(gateway.port, offering(offers))).toMatchObject({
          status: 401,
          json: { error: 'tokenInvalid' },
        });
      }
    });
  });

  test.each([
    [false, 401, 'tokenMissing'],
    [true, 101, undefined],
  ])('in the query, switched on: %s', async (acceptsQueryToken, status, error) => {
    const gateway = await start({ acceptsQueryToken });
    const answer = await rawUpgrade(gateway.port, { path: `${PATH}?access_token=${await signToken({ sub: 'ann' })}` });
    expect(answer.status).toBe(status);
    expect((answer.json as { error?: string } | undefined)?.error).toBe(error);
  });

  test('keys of an issuer that cannot be reached: 503, not a word of why', async () => {
    const gateway = await start({ secret: undefined, jwksUrl: 'http://127.0.0.1:9/a-path-of-ours' });
    const { privateKey } = await generateKeyPair('ES256');
    const token = await new SignJWT({ sub: 'ann' }).setProtectedHeader({ alg: 'ES256', kid: 'k' }).sign(privateKey);
    for (const ask of [rawUpgrade, rawGet]) {
      const answer = await ask(gateway.port, bearing(token));
      expect(answer).toMatchObject({ status: 503, json: { statusCode: 503, error: 'authentication' } });
      expect(answer.body).not.toMatch(/a-path-of-ours|ECONNREFUSED|127\.0\.0\.1/);
      expect(answer.headers['www-authenticate']).toBeUndefined();
    }
    expect(log?.lines).toContainEqual(
      expect.objectContaining({ level: 'error', message: expect.stringContaining('authentication failed') }),
    );
  });

  test('no token is ever in a log line, an answer or the audit trail', async () => {
    class Leaking extends Authenticator {
      authenticate({ request }: Handshake): Principal {
        throw new Error(`cannot look up ${request.headers.authorization}`);
      }
    }
    const tokens = [
      await signToken({ sub: 'ann', jti: 'secret-of-a-token' }),
      await signToken({ sub: 'bob' }),
      await signToken({ sub: '*' }),
      await signToken({ sub: 'ann', exp: 1 }),
      forgeToken({ alg: 'none' }, { sub: 'ann' }),
    ];
    const gateway = await start({ acceptsQueryToken: true });
    const answers: HttpAnswer[] = [];
    const askAll = async (port: number, path: string) => {
      for (const token of tokens) {
        for (const ask of [rawUpgrade, rawGet]) {
          answers.push(await ask(port, { path, headers: { Authorization: `Bearer ${token}` } }));
          answers.push(await ask(port, { path, headers: { 'Sec-WebSocket-Protocol': `push.v1, bearer.${token}` } }));
          answers.push(await ask(port, { path: `${path}?access_token=${token}` }));
          answers.push(await ask(port, { path: `${path}?ticket=${token}` }));
        }
      }
    };
    await askAll(gateway.port, PATH);
    await askAll(gateway.port, '/ws/alarm');
    const client = await gateway.connectPushV1(PATH, { headers: { Authorization: `Bearer ${tokens[0]}` } });
    const heard = [];
    for (const token of tokens) heard.push(await client.ask('auth', { token }));
    await client.close();
    await until(() => gateway.rawData.count() === 0, 'all are gone');
    const leaking = await gatewayOn(platform).withOptions({ authenticator: new Leaking() }).start();
    const own = log;
    log = LogCapture.start();
    await askAll(leaking.port, PATH);
    const written = `${own?.text}\n${log.text}\n${JSON.stringify(answers)}\n${JSON.stringify(heard)}`;
    expect(own?.audit().map(({ event }) => event)).toEqual(expect.arrayContaining(['connect', 'refuse', 'disconnect']));
    expect(log.text).toContain('cannot look up Bearer [token]');
    const parts = tokens.flatMap((token) => token.split('.').slice(1)).filter((part) => part !== '');
    expect(parts.filter((part) => written.includes(part))).toEqual([]);
    expect(written).not.toContain('secret-of-a-token');
  });

  test('an authenticator that never answers is given up: 503, and its place is free', async () => {
    class Silent extends Authenticator {
      authenticate(): Promise<Principal> {
        return new Promise(() => {});
      }
    }
    const gateway = await gatewayOn(platform).withOptions({ authenticator: new Silent() }).start();
    const answer = await within(fetch(gateway.url(PATH, 'http')), 'an answer', 8000);
    expect(answer.status).toBe(503);
    expect(await answer.json()).toMatchObject({ error: 'authentication' });
    expect(gateway.placesTaken).toBe(0);
  });
});
