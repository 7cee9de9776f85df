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

interface Receiver {
  readonly _bufferedBytes: number;
  readonly _fragmented: number;
  readonly _state: number;
}

/**
 * Whether a frame or a message of several has begun and not ended. ws has no public word for it; a test says when these
 * fields of its change.
 */
export function isAmidMessage(socket: PushSocket): boolean {
  const { _receiver: receiver } = socket as unknown as { _receiver: Receiver | null };
  if (receiver === null) return false;
  return receiver._bufferedBytes > 0 || receiver._fragmented > 0 || receiver._state !== 0;
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
      if (!/server_max_window_bits/i.test(offer)) return true;
      // ws also takes a number for what is written otherwise, as `+9` or `"\9"`.
      const [, bits] = /server_max_window_bits\s*=\s*(\d+|"\d+")\s*(?:;|$)/i.exec(offer) ?? [];
      return bits !== undefined && Number(bits.replaceAll('"', '')) >= DEFLATE_WINDOW_BITS;
    })
    .join(',')
    .trim();
}
