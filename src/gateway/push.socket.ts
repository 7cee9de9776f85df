import { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { type ServerOptions, WebSocket, WebSocketServer } from 'ws';
import { PUSH_V1 } from '../protocol/messages.js';
import { DEFLATE_WINDOW_BITS } from '../fan-out/frame.js';
import type { PushOptions } from '../push.options.js';

/** A connection of one of our gateways, told from those of the application's own. */
export class PushSocket extends WebSocket {}

/** RFC 6455 allows any number of fragments; nothing that is sent here needs more. */
const MAX_FRAGMENTS = 64;

/** The server of one of our gateways: it only completes upgrades that the gate has admitted. */
export class PushServer extends WebSocketServer {
  constructor(options: Pick<PushOptions, 'maxMessageBytes' | 'drainDeadlineMs' | 'compression'>) {
    const serverOptions: ServerOptions & { maxFragments: number; closeTimeout: number } = {
      noServer: true,
      // The registries know the clients; a second set of them would cost memory.
      clientTracking: false,
      // Without context takeover every message stands alone, so a frame compressed once suits every client.
      perMessageDeflate:
        options.compression === undefined ? false : { serverNoContextTakeover: true, clientNoContextTakeover: true },
      maxPayload: options.maxMessageBytes,
      maxFragments: MAX_FRAGMENTS,
      // What was written before the close frame has this long to arrive.
      closeTimeout: options.drainDeadlineMs,
      handleProtocols: (protocols) => (protocols.has(PUSH_V1) ? PUSH_V1 : false),
      WebSocket: PushSocket,
    };
    super(serverOptions);
  }
}

/** Whether this connection takes frames that we compressed: negotiated, and written by ourselves. */
export function isCompressed(webSocket: WebSocket, socket: Duplex): boolean {
  return socket instanceof Socket && webSocket.extensions.includes('permessage-deflate');
}

/**
 * The offers of a Sec-WebSocket-Extensions header that our shared frames suit. An offer of a smaller server window is
 * left out: ws would accept it, and a frame compressed with our window then ends that client (RFC 7692, 7.1.2.1).
 */
export function suitableExtensions(header: string): string {
  return header
    .split(',')
    .filter((offer) => {
      const [, bits] = /server_max_window_bits\s*=\s*"?(\d+)/i.exec(offer) ?? [];
      return bits === undefined || Number(bits) >= DEFLATE_WINDOW_BITS;
    })
    .join(',')
    .trim();
}
