import { describe, expect, test } from '@jest/globals';
import { EnvironmentError, pushOptionsOf, validateEnvironment } from '../../src/app/environment.js';

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
    expect(environment).toMatchObject({ PORT: 3000, HOST: '127.0.0.1', PUSH_AUTH: 'none', PUSH_DEMO: true });
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

  test('refuses jwt as long as there is none', () => {
    expect(problemsOf({ PUSH_AUTH: 'jwt' })).toEqual(['PUSH_AUTH=jwt is not available yet: use PUSH_AUTH=none']);
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
