import { type ServerOptions, WebSocket, WebSocketServer } from 'ws';
import { PUSH_V1 } from '../protocol/messages.js';
import type { PushOptions } from '../push.options.js';

/** A connection of one of our gateways, told from those of the application's own. */
export class PushSocket extends WebSocket {}

/** RFC 6455 allows any number of fragments; nothing that is sent here needs more. */
const MAX_FRAGMENTS = 64;

/** The server of one of our gateways: it only completes upgrades that the gate has admitted. */
export class PushServer extends WebSocketServer {
  constructor(options: Pick<PushOptions, 'maxMessageBytes' | 'drainDeadlineMs'>) {
    const serverOptions: ServerOptions & { maxFragments: number; closeTimeout: number } = {
      noServer: true,
      // The registries know the clients; a second set of them would cost memory.
      clientTracking: false,
      perMessageDeflate: false,
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
