import type { IncomingMessage } from 'node:http';
import type { TLSSocket } from 'node:tls';
import proxyAddr from 'proxy-addr';

/** Where a request comes from and which address it was sent to, as far as it can be believed. */
export interface Peer {
  readonly remoteAddress: string;
  readonly isLoopbackPeer: boolean;
  readonly scheme: 'http' | 'https';
  readonly host: string;
}

/** `undefined` where the request has not exactly one Host. */
export type PeerReader = (request: IncomingMessage) => Peer | undefined;

const FORWARDING_HEADERS = ['forwarded', 'x-forwarded-for', 'x-forwarded-host', 'x-forwarded-proto', 'x-real-ip'];
const isLoopback = proxyAddr.compile('loopback');

/** `trustProxy`: addresses or CIDRs whose X-Forwarded-* headers count. Throws a TypeError where one is malformed. */
export function createPeerReader(trustProxy: readonly string[]): PeerReader {
  const isTrusted = proxyAddr.compile([...trustProxy]);
  return (request) => {
    const { remoteAddress: socketAddress = '' } = request.socket;
    const [host, ...otherHosts] = request.headersDistinct['host'] ?? [];
    if (host === undefined || host === '' || otherHosts.length > 0) return undefined;
    const isBehindProxy = trustProxy.length > 0 && isTrusted(socketAddress, 0);
    return {
      remoteAddress: isBehindProxy ? proxyAddr(request, isTrusted) : socketAddress,
      isLoopbackPeer: socketAddress !== '' && isLoopback(socketAddress, 0),
      scheme: scheme(request, isBehindProxy),
      host: ((isBehindProxy && lastOf(request, 'x-forwarded-host')) || host).toLowerCase(),
    };
  };
}

export function hasForwardingHeader(request: IncomingMessage): boolean {
  return FORWARDING_HEADERS.some((name) => request.headers[name] !== undefined);
}

/** `localhost`, `127.x.x.x` or `[::1]`, with or without a port: a page of a rebound DNS name has another. */
export function isLoopbackHost(host: string): boolean {
  return /^(localhost|127(\.\d{1,3}){3}|\[::1\])(:\d{1,5})?$/.test(host);
}

function scheme(request: IncomingMessage, isBehindProxy: boolean): 'http' | 'https' {
  const forwarded = isBehindProxy ? lastOf(request, 'x-forwarded-proto') : undefined;
  if (forwarded === 'https' || forwarded === 'wss') return 'https';
  if (forwarded !== undefined) return 'http';
  return (request.socket as Partial<TLSSocket>).encrypted === true ? 'https' : 'http';
}

/** The value that the nearest proxy added. */
function lastOf(request: IncomingMessage, header: string): string | undefined {
  return request.headersDistinct[header]?.join(',').split(',').at(-1)?.trim().toLowerCase();
}
