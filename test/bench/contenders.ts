import type { PushModuleOptions } from '../../src/index.js';
import { BUSINESS_TYPE, keyName } from './datum.js';

export type ServerKind =
  'ours' | 'publish-each' | 'ws-adapter' | 'bare-ws' | 'socket.io' | 'raw' | 'raw-joined' | 'uws';

/** What is spoken on the socket above the frames. */
export type Dialect = 'plain' | 'push.v1' | 'socket.io';

export interface ServerSettings {
  readonly kind: ServerKind;
  /** Each client hears only the keys that it subscribed to, the loop's way: a look into a Set for each client. */
  readonly isFiltered?: boolean;
  /** Of PushModule. */
  readonly options?: PushModuleOptions;
  /** Whether OpenTelemetry's SDK is there, as in the app, and its metrics are scraped every second. */
  readonly isMeasured?: boolean;
  /** One of several nodes, joined by the contender's own way. */
  readonly redisUrl?: string;
  /** Of several nodes, whether this one is to have clients. */
  readonly isReceiver?: boolean;
}

export interface Contender {
  readonly name: string;
  readonly server: ServerSettings;
  readonly dialect: Dialect;
}

export const ours: Contender = { name: 'ours', server: { kind: 'ours' }, dialect: 'plain' };
export const oursPushV1: Contender = { name: 'ours, push.v1', server: { kind: 'ours' }, dialect: 'push.v1' };
export const wsAdapterLoop: Contender = {
  name: '(a) WsAdapter, send in a loop',
  server: { kind: 'ws-adapter' },
  dialect: 'plain',
};
export const socketIo: Contender = {
  name: '(b) Socket.IO emit',
  server: { kind: 'socket.io' },
  dialect: 'socket.io',
};
export const rawSockets: Contender = {
  name: '(c) socket.write, pre-framed',
  server: { kind: 'raw' },
  dialect: 'plain',
};
export const rawSocketsJoined: Contender = {
  name: "(c') socket.write, joined",
  server: { kind: 'raw-joined' },
  dialect: 'plain',
};
export const uWebSockets: Contender = {
  name: '(d) uWebSockets.js publish',
  server: { kind: 'uws' },
  dialect: 'plain',
};

/** A contender of ours with other options. */
export function oursWith(name: string, options: PushModuleOptions, dialect: Dialect = 'plain'): Contender {
  return { name, server: { kind: 'ours', options }, dialect };
}

/** Where client number `index` connects to. */
export function pathOf({ server, dialect }: Contender, index: number): string {
  if (server.kind === 'ours' || server.kind === 'publish-each')
    return `/ws/rowdata/${BUSINESS_TYPE}/${keyName(0)}/user${index}`;
  return dialect === 'socket.io' ? '/socket.io/?EIO=4&transport=websocket' : '/bench';
}
