import { describe, expect, test } from '@jest/globals';
import { createPeerReader, hasForwardingHeader, isLoopbackHost } from '../../src/access/peer.js';
import { requestOf, type RequestFixture } from './request.js';

const read = (trustProxy: readonly string[], fixture: RequestFixture) =>
  createPeerReader(trustProxy)(requestOf(fixture));
const FORWARDED: [string, string][] = [
  ['Host', 'inside:3000'],
  ['X-Forwarded-For', '203.0.113.7'],
  ['X-Forwarded-Proto', 'https'],
  ['X-Forwarded-Host', 'Push.Example.com'],
];

describe('the peer of a request', () => {
  test('without a proxy is the socket, whatever the headers say', () => {
    expect(read([], { remoteAddress: '198.51.100.1', headers: FORWARDED })).toEqual({
      remoteAddress: '198.51.100.1',
      isLoopbackPeer: false,
      scheme: 'http',
      host: 'inside:3000',
    });
  });

  test('behind a trusted proxy is what that says', () => {
    expect(read(['10.0.0.0/8'], { remoteAddress: '10.1.2.3', headers: FORWARDED })).toEqual({
      remoteAddress: '203.0.113.7',
      isLoopbackPeer: false,
      scheme: 'https',
      host: 'push.example.com',
    });
  });

  test('behind a stranger that pretends to be a proxy is the stranger', () => {
    expect(read(['10.0.0.0/8'], { remoteAddress: '11.1.2.3', headers: FORWARDED })).toMatchObject({
      remoteAddress: '11.1.2.3',
      scheme: 'http',
      host: 'inside:3000',
    });
  });

  test.each([
    ['an address that the client made up is not believed', '1.1.1.1, 203.0.113.7', '203.0.113.7'],
    ['a chain of trusted proxies is followed', '203.0.113.7, 10.0.0.9', '203.0.113.7'],
    ['where all are trusted it is the farthest', '10.0.0.8, 10.0.0.9', '10.0.0.8'],
  ])('%s', (_, forwardedFor, remoteAddress) => {
    const headers: [string, string][] = [
      ['Host', 'h'],
      ['X-Forwarded-For', forwardedFor],
    ];
    expect(read(['10.0.0.0/8'], { remoteAddress: '10.1.2.3', headers })?.remoteAddress).toBe(remoteAddress);
  });

  test('a trusted proxy that forwards nothing is the client itself', () => {
    const headers: [string, string][] = [['Host', 'H:80']];
    expect(read(['10.0.0.0/8'], { remoteAddress: '10.1.2.3', headers })).toEqual({
      remoteAddress: '10.1.2.3',
      isLoopbackPeer: false,
      scheme: 'http',
      host: 'h:80',
    });
  });

  test.each([
    ['127.0.0.1', true],
    ['127.9.9.9', true],
    ['::1', true],
    ['::ffff:127.0.0.1', true],
    ['10.0.0.1', false],
    ['', false],
  ])('%j is loopback: %s', (remoteAddress, isLoopbackPeer) => {
    expect(read([], { remoteAddress, headers: [['Host', 'h']] })?.isLoopbackPeer).toBe(isLoopbackPeer);
  });

  test('loopback is the socket, also behind a trusted proxy that names a loopback client', () => {
    const headers: [string, string][] = [
      ['Host', 'h'],
      ['X-Forwarded-For', '127.0.0.1'],
    ];
    expect(read(['10.0.0.0/8'], { remoteAddress: '10.1.2.3', headers })?.isLoopbackPeer).toBe(false);
  });

  test.each<[string, [string, string][]]>([
    ['no Host', []],
    ['an empty Host', [['Host', '']]],
    [
      'two Hosts',
      [
        ['Host', 'a'],
        ['Host', 'b'],
      ],
    ],
    [
      'the same Host twice',
      [
        ['Host', 'a'],
        ['Host', 'a'],
      ],
    ],
  ])('a request with %s has no peer', (_, headers) => {
    expect(read([], { headers })).toBeUndefined();
  });

  test.each([
    ['wss', 'https'],
    ['HTTPS', 'https'],
    ['http', 'http'],
    ['ws', 'http'],
    ['https, http', 'http'],
  ])('X-Forwarded-Proto %s is %s', (value, scheme) => {
    const headers: [string, string][] = [
      ['Host', 'h'],
      ['X-Forwarded-Proto', value],
    ];
    expect(read(['127.0.0.1'], { headers })?.scheme).toBe(scheme);
  });

  test('TLS on the own socket is https', () => {
    expect(read([], { headers: [['Host', 'h']], isEncrypted: true })?.scheme).toBe('https');
  });

  test.each(['nonsense', '10.0.0.0/99', '300.1.1.1'])('the proxy %s is an error at once', (proxy) => {
    expect(() => createPeerReader([proxy])).toThrow(TypeError);
  });
});

describe('isLoopbackHost', () => {
  test.each([
    ['localhost', true],
    ['localhost:3000', true],
    ['127.0.0.1', true],
    ['127.1.2.3:8080', true],
    ['[::1]', true],
    ['[::1]:3000', true],
    ['example.com', false],
    ['localhost.example.com', false],
    ['127.0.0.1.example.com', false],
    ['127.0.0.1.nip.io:80', false],
    ['mylocalhost', false],
    ['localhost:', false],
    ['localhost:123456', false],
    ['192.168.0.1', false],
    ['', false],
  ])('%j: %s', (host, isLoopback) => {
    expect(isLoopbackHost(host)).toBe(isLoopback);
  });
});

test.each([
  ['Forwarded', true],
  ['X-Forwarded-For', true],
  ['x-forwarded-host', true],
  ['X-Forwarded-Proto', true],
  ['X-Real-IP', true],
  ['Via-Nobody', false],
])('%s is a forwarding header: %s', (name, isForwarding) => {
  expect(hasForwardingHeader(requestOf({ headers: [[name, 'x']] }))).toBe(isForwarding);
});
