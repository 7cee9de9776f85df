import type { RawData } from 'ws';
import type { Client } from '../fan-out/client.js';
import { markOfPong } from '../fan-out/mark.js';
import { Frame, WireFormat } from '../fan-out/frame.js';
import { BadMessageError, type ClientMessage, parseClientMessage } from '../protocol/client-message.js';
import { type ExceptionCode, serverMessage } from '../protocol/messages.js';
import type { ClientRegistry } from '../registry/client.registry.js';
import type { PushSocket } from './push.socket.js';

/** Takes the messages that only one of the gateways knows; false: not its own. */
export type MessageHandler<C extends Client> = (client: C, message: ClientMessage) => boolean;

/**
 * Ties a socket to its registered client: what the client sends, its pongs, and its end. Registered only once all
 * listeners are on, so a client is known to the registry exactly while its socket lives.
 */
export function openConnection<C extends Client>(
  socket: PushSocket,
  client: C,
  registry: ClientRegistry<C>,
  handle: MessageHandler<C>,
  greet: () => void,
): void {
  socket.on('error', ignoreError);
  socket.on('close', (code, reason) => registry.unregister(client, code, reason.toString()));
  socket.on('pong', (payload) => takePong(client, payload));
  socket.on('message', (data, isBinary) => takeMessage(client, registry, handle, data, isBinary));
  registry.register(client, greet);
}

/** Protocol errors end in a `close` with their code, and ws has answered them by then. */
function ignoreError(): void {}

function takePong(client: Client, payload: Buffer): void {
  client.lastPongAtMs = performance.now();
  const flushNumber = markOfPong(payload);
  if (flushNumber !== undefined) client.confirmMark(flushNumber, 'pong');
}

function takeMessage<C extends Client>(
  client: C,
  registry: ClientRegistry<C>,
  handle: MessageHandler<C>,
  data: RawData,
  isBinary: boolean,
): void {
  // Whoever drains takes nothing new, but has to tell how far it has read, or what waits for it would never go out.
  if (client.state !== 'open' && client.state !== 'draining') return;
  const bytes = Buffer.isBuffer(data) ? data : Buffer.concat(Array.isArray(data) ? data : [Buffer.from(data)]);
  if (client.identity.format === WireFormat.plain) {
    if (client.state === 'open') registry.emitMessage(client, undefined, isBinary ? bytes : bytes.toString());
    return;
  }
  if (isBinary) {
    sendException(client, 'badMessage', 'messages are text', undefined);
    return;
  }
  try {
    takeClientMessage(client, registry, handle, parseClientMessage(bytes.toString()));
  } catch (cause) {
    if (!(cause instanceof BadMessageError)) throw cause;
    sendException(client, 'badMessage', cause.message, cause.ref);
  }
}

function takeClientMessage<C extends Client>(
  client: C,
  registry: ClientRegistry<C>,
  handle: MessageHandler<C>,
  message: ClientMessage,
): void {
  if (message.event === 'mark') {
    client.confirmMark(message.data.n, 'message');
    return;
  }
  if (client.state !== 'open') return;
  if (handle(client, message)) return;
  if (message.event === 'other' && registry.emitMessage(client, message.name, message.data)) return;
  sendException(client, 'unknownEvent', 'this event is not known here', message.ref);
}

/** Tells a client that a message of it had no effect; the connection goes on. */
export function sendException(
  client: Client,
  code: ExceptionCode,
  message: string,
  ref: string | number | undefined,
): void {
  client.offer(Frame.text(serverMessage('exception', { code, message }, ref === undefined ? {} : { ref })));
}
