import { availableParallelism } from 'node:os';
import { describe, expect, test } from '@jest/globals';
import type { JWTPayload } from 'jose';
import { JwtAuthenticator } from '../../src/access/jwt.authenticator.js';
import { EnvironmentError, pushOptionsOf, validateEnvironment } from '../../src/app/environment.js';
import { handshakeOf } from '../access/handshake.fixture.js';
import { signToken, TEST_SECRET } from '../support/tokens.js';

function problemsOf(variables: Record<string, string>): readonly string[] {
  try {
    validateEnvironment(variables);
  } catch (cause) {
    if (cause instanceof EnvironmentError) return cause.problems;
    throw cause;
  }
  return [];
}

describe('validateEnvironment', () => {
  test('has a default for everything', () => {
    const environment = validateEnvironment({});
    expect(environment).toMatchObject({ PORT: 3000, HOST: '127.0.0.1', PUSH_AUTH: 'none', isDemo: true });
    expect(environment.PUSH_PUBLISH_KEY).toBeUndefined();
  });

  test('reads numbers, booleans and lists', () => {
    const environment = validateEnvironment({
      PORT: '0',
      PUSH_DEMO: 'false',
      PUSH_FLUSH_INTERVAL_MS: '20',
      PUSH_ALLOWED_ORIGINS: 'https://a.example, https://b.example:8443',
      PUSH_TRUST_PROXY: '10.0.0.0/8,127.0.0.1',
    });
    expect(environment).toMatchObject({ PORT: 0, PUSH_DEMO: false });
    expect(pushOptionsOf(environment)).toMatchObject({
      flushIntervalMs: 20,
      allowedOrigins: ['https://a.example', 'https://b.example:8443'],
      trustProxy: ['10.0.0.0/8', '127.0.0.1'],
    });
  });

  test('takes an empty variable as absent and ignores what it does not know', () => {
    const environment = validateEnvironment({
      PORT: '',
      PUSH_PUBLISH_KEY: '',
      PATH: '/usr/bin',
      PUSH_SERVICE_HOST: 'x',
    });
    expect(environment.PORT).toBe(3000);
    expect(environment.PUSH_PUBLISH_KEY).toBeUndefined();
    expect(environment).not.toHaveProperty('PATH');
  });

  test.each([
    [{}, 1],
    [{ PUSH_WORKERS: '1' }, 1],
    [{ PUSH_WORKERS: '3', PUSH_REDIS_URL: 'redis://127.0.0.1' }, 3],
    [{ PUSH_WORKERS: 'auto', PUSH_REDIS_URL: 'redis://127.0.0.1' }, availableParallelism()],
  ])('counts the workers of %j', (variables, count) => {
    expect(validateEnvironment(variables as Record<string, string>).workerCount).toBe(count);
  });

  test.each(['0', '257', '1.5', 'all', '-1'])('takes no %s workers', (workers) => {
    expect(problemsOf({ PUSH_WORKERS: workers, PUSH_REDIS_URL: 'redis://127.0.0.1' })).toEqual([
      'PUSH_WORKERS must be a whole number from 1 to 256, or auto',
    ]);
  });

  test('says why several workers need Redis', () => {
    expect(problemsOf({ PUSH_WORKERS: '2' })).toEqual([
      'PUSH_WORKERS=2 needs PUSH_REDIS_URL: each worker is a node with clients of its own, and only Redis carries what is ' +
        'pushed on one of them to the others',
    ]);
  });

  test('lists every problem at once', () => {
    expect(problemsOf({ PORT: '70000', PUSH_DEMO: 'yes', PUSH_FLUSH_INTERVAL_MS: 'soon' })).toEqual([
      'PORT must not be greater than 65535',
      'PUSH_FLUSH_INTERVAL_MS must be an integer number',
      'PUSH_DEMO must be true or false',
    ]);
  });

  test("tells the module's own rules in the names of the variables", () => {
    expect(problemsOf({ PUSH_FLUSH_INTERVAL_MS: '-1', PUSH_MAX_CONNECTIONS_PER_IP: '0' })).toEqual([
      'PUSH_FLUSH_INTERVAL_MS must not be less than 0',
      'PUSH_MAX_CONNECTIONS_PER_IP must not be less than 1',
    ]);
  });

  test('jwt needs one key, and a long enough secret', () => {
    const secret = 's'.repeat(32);
    const keys = 'https://issuer.example/jwks.json';
    const either = ['PUSH_AUTH=jwt needs either PUSH_JWT_SECRET or PUSH_JWKS_URL'];
    expect(problemsOf({ PUSH_AUTH: 'jwt' })).toEqual(either);
    expect(problemsOf({ PUSH_AUTH: 'jwt', PUSH_JWT_SECRET: secret, PUSH_JWKS_URL: keys })).toEqual(either);
    expect(problemsOf({ PUSH_AUTH: 'jwt', PUSH_JWT_SECRET: 'short' })).toEqual([
      'PUSH_JWT_SECRET must have at least 32 bytes',
    ]);
    expect(problemsOf({ PUSH_AUTH: 'jwt', PUSH_JWT_SECRET: secret, HOST: '0.0.0.0' })).toEqual([]);
    expect(problemsOf({ PUSH_AUTH: 'jwt', PUSH_JWKS_URL: keys, PUSH_ALLOWED_ORIGINS: '*' })).toEqual([]);
  });

  test('tokens: what the variables say is what the authenticator asks for', async () => {
    const environment = validateEnvironment({
      PUSH_AUTH: 'jwt',
      PUSH_JWT_SECRET: TEST_SECRET,
      PUSH_JWT_ISSUER: 'us',
      PUSH_JWT_AUDIENCE: 'push',
      PUSH_JWT_QUERY_TOKEN: 'true',
    });
    const { authenticator } = pushOptionsOf(environment);
    if (!(authenticator instanceof JwtAuthenticator)) throw new Error('no JwtAuthenticator');
    const asked = async (claims: JWTPayload) =>
      authenticator.authenticate(handshakeOf([], `access_token=${await signToken(claims)}`));
    expect(await asked({ sub: 'ann', iss: 'us', aud: 'push' })).toEqual({ userName: 'ann' });
    await expect(asked({ sub: 'ann', iss: 'them', aud: 'push' })).rejects.toMatchObject({ reason: 'tokenInvalid' });
    await expect(asked({ sub: 'ann', iss: 'us', aud: 'mail' })).rejects.toMatchObject({ reason: 'tokenInvalid' });
  });

  test('no token in the query unless it is switched on', async () => {
    const { authenticator } = pushOptionsOf(validateEnvironment({ PUSH_AUTH: 'jwt', PUSH_JWT_SECRET: TEST_SECRET }));
    if (!(authenticator instanceof JwtAuthenticator)) throw new Error('no JwtAuthenticator');
    const handshake = handshakeOf([], `access_token=${await signToken({ sub: 'ann' })}`);
    await expect(authenticator.authenticate(handshake)).rejects.toMatchObject({ reason: 'tokenMissing' });
    expect(pushOptionsOf(validateEnvironment({})).authenticator).toBeUndefined();
  });

  test.each(['issuer', 'ftp://issuer.example/jwks', 'https://', 'javascript:alert(1)'])(
    '%j is no address of keys',
    (url) => {
      expect(problemsOf({ PUSH_AUTH: 'jwt', PUSH_JWKS_URL: url })).toEqual([expect.stringMatching(/^PUSH_JWKS_URL/)]);
    },
  );

  test('keys may come from localhost and from an address', () => {
    for (const PUSH_JWKS_URL of [
      'http://localhost:8080/jwks',
      'http://127.0.0.1:9/jwks',
      'https://keycloak/realms/a',
    ]) {
      expect(problemsOf({ PUSH_AUTH: 'jwt', PUSH_JWKS_URL })).toEqual([]);
    }
  });

  test('no problem repeats a secret', () => {
    const variables = { PUSH_AUTH: 'jwt', PUSH_JWT_SECRET: 'a short secret', PUSH_PUBLISH_KEY: 'a key with spaces' };
    const told = [problemsOf(variables), problemsOf({ ...variables, PUSH_PUBLISH_KEY: '' })].flat().join();
    expect(told).toMatch(/PUSH_PUBLISH_KEY/);
    expect(told).toMatch(/PUSH_JWT_SECRET/);
    expect(told).not.toMatch(/a short secret|a key with/);
  });

  test('PUSH_AUTH is none or jwt', () => {
    expect(problemsOf({ PUSH_AUTH: 'JWT' })).toEqual([expect.stringContaining('PUSH_AUTH')]);
    expect(problemsOf({ PUSH_JWT_QUERY_TOKEN: '1' })).toEqual(['PUSH_JWT_QUERY_TOKEN must be true or false']);
  });

  test.each([
    ['the demo', 'PUSH_DEMO', 'isDemo'],
    ['the page of the HTTP routes', 'PUSH_DOCS', 'hasDocs'],
  ] as const)('%s is on without authentication only', (_what, variable, isOn) => {
    const withTokens = { PUSH_AUTH: 'jwt', PUSH_JWT_SECRET: 's'.repeat(32) };
    expect(validateEnvironment(withTokens)[isOn]).toBe(false);
    expect(validateEnvironment({ ...withTokens, [variable]: 'true' })[isOn]).toBe(true);
    expect(validateEnvironment({})[isOn]).toBe(true);
    expect(validateEnvironment({ [variable]: 'false' })[isOn]).toBe(false);
  });

  test('certificate and key belong together', () => {
    const problem = ['PUSH_TLS_CERT and PUSH_TLS_KEY belong together: set both or none'];
    expect(problemsOf({ PUSH_TLS_CERT: 'cert.pem' })).toEqual(problem);
    expect(problemsOf({ PUSH_TLS_KEY: 'key.pem' })).toEqual(problem);
  });

  test.each(['0.0.0.0', '::', '192.168.1.4', 'push.example'])(
    'refuses HOST=%s without PUSH_ALLOW_ANONYMOUS',
    (HOST) => {
      expect(problemsOf({ HOST })).toEqual([expect.stringContaining('set PUSH_ALLOW_ANONYMOUS=true')]);
      expect(problemsOf({ HOST, PUSH_ALLOW_ANONYMOUS: 'true' })).toEqual([]);
    },
  );

  test.each(['127.0.0.1', '127.8.8.8', 'localhost', '::1'])('listens on HOST=%s as it is', (HOST) => {
    expect(problemsOf({ HOST })).toEqual([]);
  });

  test('refuses a proxy that is no address, an origin with a path, any origin, and a key with a space', () => {
    expect(problemsOf({ PUSH_TRUST_PROXY: 'nginx' })).toEqual([expect.stringMatching(/^PUSH_TRUST_PROXY: /)]);
    expect(problemsOf({ PUSH_ALLOWED_ORIGINS: 'https://a.example/x' })).toEqual([
      expect.stringMatching(/PUSH_ALLOWED_ORIGINS/),
    ]);
    expect(problemsOf({ PUSH_ALLOWED_ORIGINS: '*' })).toEqual([expect.stringMatching(/PUSH_ALLOWED_ORIGINS/)]);
    expect(problemsOf({ PUSH_PUBLISH_KEY: 'two words' })).toEqual([expect.stringMatching(/^PUSH_PUBLISH_KEY/)]);
  });
});
