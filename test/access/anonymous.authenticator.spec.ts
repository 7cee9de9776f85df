import { describe, expect, test } from '@jest/globals';
import { AnonymousAuthenticator } from '../../src/access/anonymous.authenticator.js';
import { AuthenticationError } from '../../src/access/authenticator.js';
import type { Handshake } from '../../src/access/handshake.js';
import { requestOf } from './request.js';

const handshakeOf = (given: Partial<Handshake>): Handshake => ({
  request: requestOf({}),
  gateway: 'rawData',
  remoteAddress: '127.0.0.1',
  isLoopbackPeer: true,
  scheme: 'http',
  host: 'localhost:3000',
  query: new URLSearchParams(),
  parameters: {},
  ...given,
});

const FOREIGN: [string, Partial<Handshake>][] = [
  ['another machine', { isLoopbackPeer: false }],
  ['a rebound DNS name', { host: 'evil.example.com' }],
  ['a proxy on this machine', { request: requestOf({ headers: [['X-Forwarded-For', '203.0.113.7']] }) }],
];

describe('AnonymousAuthenticator', () => {
  test('lets this machine in', () => {
    expect(new AnonymousAuthenticator(false).authenticate(handshakeOf({}))).toEqual({ isAnonymous: true });
  });

  test.each(FOREIGN)('refuses %s with 403', (_, given) => {
    const authenticate = () => new AnonymousAuthenticator(false).authenticate(handshakeOf(given));
    expect(authenticate).toThrow(AuthenticationError);
    expect(authenticate).toThrow(expect.objectContaining({ status: 403, reason: 'anonymous' }));
  });

  test.each(FOREIGN)('with allowAnonymous lets %s in', (_, given) => {
    expect(new AnonymousAuthenticator(true).authenticate(handshakeOf(given))).toEqual({ isAnonymous: true });
  });
});
