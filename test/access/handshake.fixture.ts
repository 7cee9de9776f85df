import type { Handshake } from '../../src/access/handshake.js';
import { requestOf } from './request.js';

/** A handshake of the raw-data gateway as the gate would hand it on. */
export function handshakeOf(
  headers: readonly (readonly [string, string])[] = [],
  query = '',
  parameters: Readonly<Record<string, string>> = { businessType: 'meter', businessId: '5', userName: 'ann' },
): Handshake {
  return {
    request: requestOf({ url: `/ws/rowdata/meter/5/ann?${query}`, headers }),
    gateway: 'rawData',
    remoteAddress: '127.0.0.1',
    isLoopbackPeer: true,
    scheme: 'http',
    host: 'localhost',
    query: new URLSearchParams(query),
    parameters,
  };
}

export const withToken = (token: string): Handshake => handshakeOf([['Authorization', `Bearer ${token}`]]);
