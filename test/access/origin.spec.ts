import { describe, expect, test } from '@jest/globals';
import { isOriginAllowed } from '../../src/access/origin.js';

describe('without a list only pages of the same origin', () => {
  test.each<[string | undefined, 'http' | 'https', string, boolean]>([
    [undefined, 'http', 'app.example.com', true],
    ['http://app.example.com', 'http', 'app.example.com', true],
    ['http://app.example.com', 'http', 'app.example.com:80', true],
    ['https://app.example.com', 'https', 'app.example.com:443', true],
    ['http://app.example.com:8080', 'http', 'app.example.com:8080', true],
    ['http://[::1]:3000', 'http', '[::1]:3000', true],
    ['http://app.example.com', 'https', 'app.example.com', false],
    ['https://app.example.com', 'http', 'app.example.com', false],
    ['http://app.example.com:8080', 'http', 'app.example.com', false],
    ['http://app.example.com:80', 'http', 'app.example.com', false],
    ['http://localhost:3000', 'http', '127.0.0.1:3000', false],
    ['http://evil.example.com', 'http', 'app.example.com', false],
    ['http://app.example.com.evil.com', 'http', 'app.example.com', false],
    ['http://example.com', 'http', 'app.example.com', false],
    ['null', 'http', 'app.example.com', false],
    ['', 'http', 'app.example.com', false],
    ['http://app.example.com/', 'http', 'app.example.com', false],
    ['null', 'http', 'not a host', false],
    ['undefined', 'http', 'not a host', false],
    ['file://', 'http', 'app.example.com', false],
  ])('%j to %s %s: %s', (origin, scheme, host, isAllowed) => {
    expect(isOriginAllowed(origin, { scheme, host }, [])).toBe(isAllowed);
  });
});

describe('with a list only what stands in it', () => {
  const peer = { scheme: 'http', host: 'push.example.com' } as const;

  test.each<[string | undefined, boolean]>([
    [undefined, true],
    ['https://app.example.com', true],
    ['https://other.example.com:8443', true],
    ['http://app.example.com', false],
    ['https://app.example.com:443', false],
    ['https://APP.example.com', false],
    ['https://x.app.example.com', false],
    ['http://push.example.com', false],
    ['null', false],
    ['*', false],
  ])('%j: %s', (origin, isAllowed) => {
    const allowed = ['https://app.example.com', 'https://other.example.com:8443'];
    expect(isOriginAllowed(origin, peer, allowed)).toBe(isAllowed);
  });

  test('the wildcard allows everybody', () => {
    expect(isOriginAllowed('https://any.where', peer, ['https://a.b', '*'])).toBe(true);
  });

  test('null only where it is listed', () => {
    expect(isOriginAllowed('null', peer, ['null'])).toBe(true);
  });
});
