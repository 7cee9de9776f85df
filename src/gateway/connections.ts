import { Injectable } from '@nestjs/common';
import type { RawData } from 'ws';
import type { Client } from '../fan-out/client.js';
import { Frame, WireFormat } from '../fan-out/frame.js';
import { markOfPong } from '../fan-out/mark.js';
import { RateLimit } from '../fan-out/rate-limit.js';
import { CloseCodes } from '../protocol/close-codes.js';
import { BadMessageError, type ClientMessage, parseClientMessage, type Ref } from '../protocol/client-message.js';
import { type ServerEvents, serverMessage } from '../protocol/messages.js';
import { AuditTrail } from '../observe/audit.trail.js';
import { PushOptions } from '../push.options.js';
import type { ClientRegistry } from '../registry/client.registry.js';
import { type Session, Sessions } from '../registry/sessions.js';
import { refOf, sendException } from './exception.js';
import type { PushSocket } from './push.socket.js';
import { TokenRefresh } from './token.refresh.js';
import { UnfinishedMessages } from './unfinished.messages.js';

/** What only one of the gateways knows. */
export interface ClientHandler<C extends Client> {
  readonly registry: ClientRegistry<C>;
  /** Takes a message; false: it is none of this gateway's. */
  handle(client: C, message: ClientMessage): boolean;
  /** Gives up what the client's fresh credentials do not allow any more, and returns what is left and what is not. */
  recheck(client: C): ServerEvents['subscribed'];
}

/** Ties sockets to their registered clients: what a client sends, its pongs, and its end. */
@Injectable()
export class Connections {
  private readonly inbound: RateLimit;

  constructor(
    { maxMessagesPerSecond }: PushOptions,
    private readonly sessions: Sessions,
    private readonly tokenRefresh: TokenRefresh,
    private readonly unfinished: UnfinishedMessages,
    private readonly audit: AuditTrail,
  ) {
    this.inbound = new RateLimit(maxMessagesPerSecond, 2 * maxMessagesPerSecond);
  }

  /** Registered only once all listeners are on, so a client is known to the registry exactly while its socket lives. */
  open<C extends Client>(
    socket: PushSocket,
    client: C,
    session: Session,
    handler: ClientHandler<C>,
    greet: () => void,
  ): void {
    const input = new Input(client, handler, this.inbound, this.tokenRefresh);
    socket.on('error', ignoreError);
    socket.on('ping', () => input.count());
    socket.on('pong', (payload) => input.takePong(payload));
    socket.on('message', (data, isBinary) => {
      this.unfinished.finished(socket);
      input.takeMessage(data, isBinary);
    });
    socket.on('close', (code, reason) => {
      this.unfinished.forget(socket);
      this.sessions.close(client);
      this.audit.disconnected(client.identity.key, code, reason.toString());
      handler.registry.unregister(client, code, reason.toString());
    });
    this.unfinished.watch(socket, client);
    const { key, userName, remoteAddress } = client.identity;
    this.audit.connected(key, { userName, remoteAddress });
    handler.registry.register(client, greet);
    this.sessions.open(client, session);
  }
}

/** Protocol errors end in a `close` with their code, and ws has answered them by then. */
function ignoreError(): void {}

/** What one client sends. */
class Input<C extends Client> {
  private rateState = 0;

  constructor(
    private readonly client: C,
    private readonly handler: ClientHandler<C>,
    private readonly limit: RateLimit,
    private readonly tokenRefresh: TokenRefresh,
  ) {}

  /** False: one too many, and the client is closed. */
  count(): boolean {
    const state = this.limit.next(this.rateState, performance.now());
    if (state === undefined) this.client.close(CloseCodes.flood);
    else this.rateState = state;
    return state !== undefined;
  }

  takePong(payload: Buffer): void {
    const nowMs = (this.client.lastPongAtMs = performance.now());
    const flushNumber = markOfPong(payload);
    // As many marks come back as went out: they are not what a limit is for.
    if (flushNumber === undefined || !this.client.confirmMark(flushNumber, 'pong', nowMs)) this.count();
  }

  takeMessage(data: RawData, isBinary: boolean): void {
    const { state, identity } = this.client;
    if (state === 'closed') return;
    // What comes behind the close frame of ours was sent before it arrived. It may be an acknowledgement, and no more.
    if (state === 'closing' && (identity.format === WireFormat.plain || !this.count())) return;
    const bytes = Buffer.isBuffer(data) ? data : Buffer.concat(Array.isArray(data) ? data : [Buffer.from(data)]);
    if (identity.format === WireFormat.plain) {
      if (!this.count() || state !== 'open') return;
      this.handler.registry.emitMessage(this.client, undefined, isBinary ? bytes : bytes.toString());
      return;
    }
    if (isBinary) {
      if (this.count()) sendException(this.client, 'badMessage', 'messages are text', undefined);
      return;
    }
    try {
      this.takeClientMessage(parseClientMessage(bytes.toString()));
    } catch (cause) {
      if (!(cause instanceof BadMessageError)) throw cause;
      if (this.count()) sendException(this.client, 'badMessage', cause.message, cause.ref);
    }
  }

  /** Values of a key that was lost, and may be subscribed to again, do not go ahead of this. */
  private answerRefresh(ref: Ref | undefined): void {
    const answer = this.handler.recheck(this.client);
    this.client.offer(Frame.separator(serverMessage('subscribed', answer, refOf(ref)), answer.refused));
  }

  private takeClientMessage(message: ClientMessage): void {
    const { client, handler } = this;
    // Whoever drains takes nothing new, but has to tell how far it has read, or what waits for it would never go out.
    if (message.event === 'mark' && client.confirmMark(message.data.n, 'message', performance.now())) return;
    if (!this.count() || message.event === 'mark') return;
    if (message.event !== 'ack' && client.state !== 'open') return;
    if (message.event === 'auth') {
      this.tokenRefresh.refresh(client, message.data.token, message.ref, () => this.answerRefresh(message.ref));
      return;
    }
    if (handler.handle(client, message)) return;
    if (message.event === 'other' && handler.registry.emitMessage(client, message.name, message.data)) return;
    sendException(client, 'unknownEvent', 'this event is not known here', message.ref);
  }
}
