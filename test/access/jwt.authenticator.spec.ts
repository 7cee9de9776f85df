import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, describe, expect, jest, test } from '@jest/globals';
import { type CryptoKey, exportJWK, exportSPKI, generateKeyPair, type JWTPayload, SignJWT } from 'jose';
import { AuthenticationError } from '../../src/access/authenticator.js';
import { JwtAuthenticator, type JwtOptions } from '../../src/access/jwt.authenticator.js';
import type { Principal } from '../../src/access/principal.js';
import { forgeToken, secondsFromNow, signToken, TEST_SECRET } from '../support/tokens.js';
import { handshakeOf, withToken } from './handshake.fixture.js';

const CLAIMS = { sub: 'ann', iss: 'issuer', aud: 'push' };

const authenticatorOf = (options: Partial<JwtOptions> = {}) =>
  new JwtAuthenticator({ secret: TEST_SECRET, ...options });

/** The principal, or the word of the refusal. */
async function verdict(token: string, options: Partial<JwtOptions> = {}): Promise<Principal | string> {
  try {
    return await authenticatorOf(options).authenticate(withToken(token));
  } catch (cause) {
    if (cause instanceof AuthenticationError && cause.status === 401) return cause.reason;
    throw cause;
  }
}

describe('options', () => {
  test.each<[string, JwtOptions, RegExp]>([
    ['no key', {}, /either a secret or a jwksUrl/],
    ['two keys', { secret: TEST_SECRET, jwksUrl: 'https://issuer.example/jwks' }, /either a secret or a jwksUrl/],
    ['a secret of 31 bytes', { secret: 'x'.repeat(31) }, /at least 32 bytes/],
    ['an address that is none', { jwksUrl: 'issuer' }, /is no URL/],
    ['a public key’s algorithm with a secret', { secret: TEST_SECRET, algorithms: ['HS256', 'RS256'] }, /RS256/],
    ['a secret’s algorithm with public keys', { jwksUrl: 'https://issuer.example', algorithms: ['HS256'] }, /HS256/],
    ['none with a secret', { secret: TEST_SECRET, algorithms: ['none'] }, /none/],
  ])('%s: refused at once, without the secret', (_what, options, message) => {
    const create = () => new JwtAuthenticator(options);
    expect(create).toThrow(TypeError);
    expect(create).toThrow(message);
    expect(create).not.toThrow(TEST_SECRET);
  });

  test('32 bytes are counted, not characters', async () => {
    const secret = 'é'.repeat(16);
    expect(await verdict(await signToken({ sub: 'ann' }, secret), { secret })).toMatchObject({ userName: 'ann' });
  });
});

describe('a token with a shared secret', () => {
  test('says who connects, what may be seen, and when it ends', async () => {
    const [iat, exp] = [secondsFromNow(-10), secondsFromNow(60)];
    const token = await signToken({ sub: 'ann', orgId: 'acme/plant1', keys: ['meter/*'], iat, exp, jti: 't1' });
    expect(await verdict(token)).toEqual({
      userName: 'ann',
      orgId: 'acme/plant1',
      keys: ['meter/*'],
      issuedAt: new Date(iat * 1000),
      expiresAt: new Date(exp * 1000),
      tokenId: 't1',
    });
    expect(await verdict(await signToken({ sub: 'ann' }))).toEqual({ userName: 'ann' });
  });

  test('no token: the word and the message say so', async () => {
    const refused = authenticatorOf().authenticate(handshakeOf());
    await expect(refused).rejects.toMatchObject({ reason: 'tokenMissing', status: 401 });
  });

  test('the query only where it is switched on', async () => {
    const handshake = handshakeOf([], `access_token=${await signToken({ sub: 'ann' })}`);
    await expect(authenticatorOf().authenticate(handshake)).rejects.toMatchObject({ reason: 'tokenMissing' });
    expect(await authenticatorOf({ acceptsQueryToken: true }).authenticate(handshake)).toEqual({ userName: 'ann' });
  });

  test.each<[string, JWTPayload, Partial<JwtOptions>, string]>([
    ['expired', { exp: -60 }, {}, 'tokenExpired'],
    ['expired beyond the tolerance', { exp: -8 }, {}, 'tokenExpired'],
    ['expired, without tolerance', { exp: -2 }, { clockToleranceSeconds: 0 }, 'tokenExpired'],
    ['not yet valid', { nbf: 60 }, {}, 'tokenInvalid'],
    ['not yet valid beyond the tolerance', { nbf: 8 }, {}, 'tokenInvalid'],
  ])('%s', async (_what, times, options, error) => {
    const claims = Object.fromEntries(
      Object.entries(times).map(([name, seconds]) => [name, secondsFromNow(Number(seconds))]),
    );
    expect(await verdict(await signToken({ ...CLAIMS, ...claims }), options)).toBe(error);
  });

  test('clocks may differ by five seconds, or as much as is set', async () => {
    expect(await verdict(await signToken({ ...CLAIMS, exp: secondsFromNow(-2) }))).toMatchObject({ userName: 'ann' });
    expect(await verdict(await signToken({ ...CLAIMS, nbf: secondsFromNow(2) }))).toMatchObject({ userName: 'ann' });
    const late = await signToken({ ...CLAIMS, exp: secondsFromNow(-30) });
    expect(await verdict(late, { clockToleranceSeconds: 60 })).toMatchObject({ userName: 'ann' });
  });

  test.each<[string, JWTPayload, Partial<JwtOptions>]>([
    ['another audience', { aud: 'other' }, { audience: 'push' }],
    ['no audience', { aud: undefined as unknown as string }, { audience: 'push' }],
    ['several audiences, without ours', { aud: ['a', 'b'] }, { audience: 'push' }],
    ['another issuer', { iss: 'evil' }, { issuer: 'issuer' }],
    ['an issuer that only begins like it', { iss: 'issuer.evil' }, { issuer: 'issuer' }],
    ['no issuer', { iss: undefined as unknown as string }, { issuer: 'issuer' }],
  ])('%s', async (_what, claims, options) => {
    expect(await verdict(await signToken({ ...CLAIMS, ...claims }), options)).toBe('tokenInvalid');
    expect(await verdict(await signToken(CLAIMS), options)).toMatchObject({ userName: 'ann' });
  });

  test('one of several audiences is enough', async () => {
    expect(await verdict(await signToken({ ...CLAIMS, aud: ['a', 'push'] }), { audience: 'push' })).toMatchObject({
      userName: 'ann',
    });
  });

  test('another secret, another algorithm', async () => {
    expect(await verdict(await signToken(CLAIMS, 'another secret of at least 32 bytes'))).toBe('tokenInvalid');
    expect(await verdict(await signToken(CLAIMS, TEST_SECRET, 'HS512'))).toBe('tokenInvalid');
    const options = { algorithms: ['HS512'] };
    expect(await verdict(await signToken(CLAIMS, TEST_SECRET, 'HS512'), options)).toMatchObject({ userName: 'ann' });
    expect(await verdict(await signToken(CLAIMS), options)).toBe('tokenInvalid');
  });

  test.each<[string, (good: string) => string]>([
    ['alg none', () => forgeToken({ alg: 'none' }, CLAIMS)],
    ['alg None', () => forgeToken({ alg: 'None' }, CLAIMS)],
    ['alg NONE with a signature', () => forgeToken({ alg: 'NONE' }, CLAIMS, 'AAAA')],
    ['no alg', () => forgeToken({ typ: 'JWT' }, CLAIMS, 'AAAA')],
    ['an alg that is no text', () => forgeToken({ alg: 5 }, CLAIMS, 'AAAA')],
    ['an unknown extension that is critical', () => forgeToken({ alg: 'HS256', crit: ['x'], x: 1 }, CLAIMS, 'AAAA')],
    ['an empty signature', (good) => good.slice(0, good.lastIndexOf('.') + 1)],
    ['no signature', (good) => good.slice(0, good.lastIndexOf('.'))],
    ['another payload', (good) => good.replace(/\.[^.]+\./, `.${Buffer.from('{"sub":"bob"}').toString('base64url')}.`)],
    ['a payload that is no object', () => forgeToken({ alg: 'HS256' }, 'ann', 'AAAA')],
    ['four parts', (good) => `${good}.x`],
    ['five parts, as of an encrypted one', (good) => `${good}.x.y`],
    ['one part', () => 'abc'],
    ['dots only', () => '..'],
    ['what is no base64', () => '!!!.???.***'],
    ['a header that is no JSON', (good) => `AAAA${good.slice(good.indexOf('.'))}`],
    ['a token in a token', (good) => `${good}${good}`],
  ])('%s', async (_what, forge) => {
    const good = await signToken(CLAIMS);
    expect(await verdict(good)).toMatchObject({ userName: 'ann' });
    expect(await verdict(forge(good))).toBe('tokenInvalid');
  });

  test('a payload that is signed and no object', async () => {
    const key = await crypto.subtle.importKey(
      'raw',
      Buffer.from(TEST_SECRET),
      { name: 'HMAC', hash: 'SHA-256' },
      false,
      ['sign'],
    );
    for (const payload of ['null', '[]', '"ann"', '7', 'no JSON']) {
      const signed = [{ alg: 'HS256' }, undefined]
        .map((part) => Buffer.from(part === undefined ? payload : JSON.stringify(part)).toString('base64url'))
        .join('.');
      const signature = Buffer.from(await crypto.subtle.sign('HMAC', key, Buffer.from(signed))).toString('base64url');
      expect(await verdict(`${signed}.${signature}`)).toBe('tokenInvalid');
    }
  });

  test.each<[string, Record<string, unknown>, string]>([
    ['no user', {}, 'tokenClaims'],
    ['an empty user', { sub: '' }, 'tokenClaims'],
    ['a wildcard as user', { sub: '*' }, 'tokenClaims'],
    ['two dots as user', { sub: '..' }, 'tokenClaims'],
    ['a control character in the user', { sub: 'a\nb' }, 'tokenClaims'],
    ['a user of 129 bytes', { sub: 'a'.repeat(129) }, 'tokenClaims'],
    ['a number as user', { sub: 7 }, 'tokenClaims'],
    ['a list of users', { sub: ['ann'] }, 'tokenClaims'],
    ['an organisation that is no text', { sub: 'ann', orgId: ['acme'] }, 'tokenClaims'],
    ['no organisation, as null', { sub: 'ann', orgId: null }, 'tokenClaims'],
    ['keys as text', { sub: 'ann', keys: 'meter/*' }, 'tokenClaims'],
    ['keys as null', { sub: 'ann', keys: null }, 'tokenClaims'],
    ['a number among the keys', { sub: 'ann', keys: ['meter/*', 5] }, 'tokenClaims'],
    ['keys as an object', { sub: 'ann', keys: { length: 0 } }, 'tokenClaims'],
    ['an id that is no text', { sub: 'ann', jti: 5 }, 'tokenClaims'],
    ['an end that is no number', { sub: 'ann', exp: 'never' }, 'tokenInvalid'],
    ['a beginning that is no number', { sub: 'ann', nbf: 'now' }, 'tokenInvalid'],
    ['a time of issue that is no number', { sub: 'ann', iat: 'yesterday' }, 'tokenInvalid'],
  ])('%s', async (_what, claims, error) => {
    expect(await verdict(await signToken(claims as JWTPayload))).toBe(error);
  });

  test('no keys at all is what an empty list says', async () => {
    expect(await verdict(await signToken({ sub: 'ann', keys: [] }))).toEqual({ userName: 'ann', keys: [] });
  });

  test('another claim may name the user', async () => {
    const token = await signToken({ sub: 'id-77', preferred_username: 'ann' });
    expect(await verdict(token, { userNameClaim: 'preferred_username' })).toMatchObject({ userName: 'ann' });
    expect(await verdict(await signToken({ sub: 'ann' }), { userNameClaim: 'preferred_username' })).toBe('tokenClaims');
    expect(await verdict(await signToken({ sub: 'ann' }), { userNameClaim: 'constructor' })).toBe('tokenClaims');
  });

  test('a fresh one of an open connection is judged alike', async () => {
    const authenticator = authenticatorOf();
    expect(await authenticator.refresh(await signToken({ sub: 'ann' }))).toEqual({ userName: 'ann' });
    const expired = authenticator.refresh(await signToken({ sub: 'ann', exp: secondsFromNow(-60) }));
    await expect(expired).rejects.toMatchObject({ reason: 'tokenExpired' });
  });

  test('no refusal repeats the token', async () => {
    for (const claims of [{ sub: '*' }, { sub: 'ann', exp: 1 }, { sub: 'ann', nbf: 1e12 }]) {
      const token = await signToken(claims);
      const cause = await authenticatorOf()
        .authenticate(withToken(token))
        .then(String, (error: Error) => error);
      expect(String(cause)).not.toContain(token.split('.')[1]);
    }
  });
});

interface IssuerKey {
  readonly kid: string;
  readonly privateKey: CryptoKey;
  readonly publicKey: CryptoKey;
}

async function newKey(kid: string, algorithm = 'ES256'): Promise<IssuerKey> {
  return { kid, ...(await generateKeyPair(algorithm, { extractable: true })) };
}

const withKeys = (jwksUrl: string, options: Partial<JwtOptions> = {}) => new JwtAuthenticator({ jwksUrl, ...options });

describe('keys of the issuer', () => {
  let issuer: Server | undefined;
  let published: IssuerKey[] = [];
  let fetches = 0;
  let answer: { status: number; body: string } | undefined;

  afterEach(async () => {
    jest.restoreAllMocks();
    published = [];
    fetches = 0;
    answer = undefined;
    issuer?.closeAllConnections();
    await new Promise((resolve) => (issuer === undefined ? resolve(undefined) : issuer.close(resolve)));
    issuer = undefined;
  });

  async function jwks(): Promise<string> {
    const keys = published.map(async ({ kid, publicKey }) => ({ kid, use: 'sig', ...(await exportJWK(publicKey)) }));
    return JSON.stringify({ keys: await Promise.all(keys) });
  }

  async function publish(...keys: IssuerKey[]): Promise<string> {
    published = keys;
    const server = createServer((_request, response) => {
      fetches += 1;
      void jwks().then((body) =>
        response.writeHead(answer?.status ?? 200, { 'Content-Type': 'application/json' }).end(answer?.body ?? body),
      );
    });
    issuer = server;
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    return `http://127.0.0.1:${(server.address() as AddressInfo).port}/jwks.json`;
  }

  const signedBy = ({ kid, privateKey }: IssuerKey, algorithm = 'ES256', claims: JWTPayload = CLAIMS) =>
    new SignJWT(claims).setProtectedHeader({ alg: algorithm, kid }).sign(privateKey);

  test.each(['RS256', 'PS256', 'ES256', 'EdDSA'])('%s is taken, and the keys are fetched once', async (algorithm) => {
    const key = await newKey('k1', algorithm);
    const authenticator = withKeys(await publish(key));
    const token = await signedBy(key, algorithm);
    const principals = [1, 2, 3].map(() => authenticator.authenticate(withToken(token)));
    expect(await Promise.all(principals)).toEqual([{ userName: 'ann' }, { userName: 'ann' }, { userName: 'ann' }]);
    expect(fetches).toBe(1);
  });

  test('a public key is never taken for a shared secret', async () => {
    const key = await newKey('k1', 'RS256');
    const authenticator = withKeys(await publish(key));
    const pem = await exportSPKI(key.publicKey);
    const jwk = JSON.stringify(await exportJWK(key.publicKey));
    for (const secret of [pem, pem.trim(), jwk]) {
      const token = await new SignJWT(CLAIMS)
        .setProtectedHeader({ alg: 'HS256', kid: 'k1' })
        .sign(new TextEncoder().encode(secret));
      await expect(authenticator.authenticate(withToken(token))).rejects.toMatchObject({ reason: 'tokenInvalid' });
    }
    // What is never right is refused before any key is asked for.
    expect(fetches).toBe(0);
  });

  test.each<[string, () => Promise<string>]>([
    ['alg none', async () => forgeToken({ alg: 'none', kid: 'k1' }, CLAIMS)],
    ['a key of one’s own under the same name', async () => signedBy(await newKey('k1'))],
    [
      'a key in the header',
      async () => {
        const own = await newKey('k1');
        return new SignJWT(CLAIMS)
          .setProtectedHeader({ alg: 'ES256', kid: 'k1', jwk: await exportJWK(own.publicKey) })
          .sign(own.privateKey);
      },
    ],
    ['an algorithm that is not in the list', async () => signedBy(await newKey('k1', 'ES384'), 'ES384')],
    ['an algorithm that is not the key’s', async () => signedBy(await newKey('k1', 'RS256'), 'RS256')],
  ])('%s', async (_what, forge) => {
    const authenticator = withKeys(await publish(await newKey('k1')));
    await expect(authenticator.authenticate(withToken(await forge()))).rejects.toMatchObject({
      reason: 'tokenInvalid',
    });
  });

  test('a new key is found once the issuer has it, an old one is not taken any more', async () => {
    const [old, fresh] = [await newKey('old'), await newKey('fresh')];
    const authenticator = withKeys(await publish(old));
    await authenticator.authenticate(withToken(await signedBy(old)));
    published = [fresh];
    // Not at once: whoever makes key names up would have the issuer asked for each.
    await expect(authenticator.authenticate(withToken(await signedBy(fresh)))).rejects.toMatchObject({
      reason: 'tokenInvalid',
    });
    expect(fetches).toBe(1);
    const later = Date.now() + 31_000;
    jest.spyOn(Date, 'now').mockImplementation(() => later);
    expect(await authenticator.authenticate(withToken(await signedBy(fresh)))).toEqual({ userName: 'ann' });
    expect(fetches).toBe(2);
    await expect(authenticator.authenticate(withToken(await signedBy(old)))).rejects.toMatchObject({
      reason: 'tokenInvalid',
    });
  });

  test.each([
    ['answers 500', { status: 500, body: '{}' }],
    ['answers 404', { status: 404, body: 'not here' }],
    ['answers no JSON', { status: 200, body: '<html>' }],
    ['answers no keys', { status: 200, body: '{}' }],
    ['answers keys that are none', { status: 200, body: '{"keys":[7]}' }],
  ])('an issuer that %s is no fault of the token', async (_what, given) => {
    const key = await newKey('k1');
    const authenticator = withKeys(await publish(key));
    answer = given;
    const refused = authenticator.authenticate(withToken(await signedBy(key)));
    await expect(refused).rejects.not.toBeInstanceOf(AuthenticationError);
    answer = undefined;
    expect(await authenticator.authenticate(withToken(await signedBy(key)))).toEqual({ userName: 'ann' });
  });

  test('an issuer that nobody answers for is no fault of the token', async () => {
    const key = await newKey('k1');
    // Nothing listens on the discard port.
    const refused = withKeys('http://127.0.0.1:9/jwks').authenticate(withToken(await signedBy(key)));
    await expect(refused).rejects.not.toBeInstanceOf(AuthenticationError);
  });
});
