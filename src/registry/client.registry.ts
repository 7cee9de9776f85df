import type { Logger } from '@nestjs/common';
import { filter, firstValueFrom, type Observable } from 'rxjs';
import type { Client } from '../fan-out/client.js';
import { Frame, WireFormat } from '../fan-out/frame.js';
import { stackOf } from '../push.causes.js';
import { InvalidPushError, PayloadTooLargeError } from '../push.errors.js';
import { WriteTotals } from '../fan-out/write-totals.js';
import { GuardedSubject } from './guarded.subject.js';

const MAX_BROADCAST_BYTES = 1024 * 1024;

/** What an application sees of a connection. */
export interface ClientInfo {
  readonly clientId: string;
  /** `websocket:rowdata:<type>:<id>:<user>:<clientId>` or `websocket:alarm:<clientId>`, each part percent-encoded. */
  readonly key: string;
  readonly userName: string;
  readonly remoteAddress: string;
  readonly wireFormat: 'plain' | 'push.v1';
  readonly connectedAt: Date;
  /** Bytes written that the client has not confirmed to have read. */
  readonly inFlightBytes: number;
  /** Bytes that wait for the in-flight window to open. */
  readonly outboxBytes: number;
  /** Alarms of the log that the client has not been written yet; 0 on raw data. */
  readonly behind: number;
  /** How many raw data were replaced by newer ones because the client was slow. */
  readonly conflated: number;
}

export interface ClientConnected {
  readonly client: ClientInfo;
}

export interface ClientDisconnected {
  readonly client: ClientInfo;
  /** RFC 6455 section 7.4; 1006 where the connection was cut without a close frame. */
  readonly code: number;
  readonly reason: string;
}

/** What a client sent that is not the gateway's own. */
export interface ClientSent {
  readonly client: ClientInfo;
  /** The event's name on `push.v1`; undefined on the plain wire. */
  readonly event: string | undefined;
  /** The event's data on `push.v1`; the text, or the bytes of a binary message, on the plain wire. */
  readonly data: unknown;
}

/**
 * The clients of one gateway on this node. Applications inject it to see who is connected, to listen, to disconnect,
 * and to broadcast. Listeners run synchronously; one that throws is logged and harms nobody.
 */
export abstract class ClientRegistry<C extends Client> {
  /** @internal */
  readonly totals = new WriteTotals();
  private readonly clientsById = new Map<string, C>();
  private readonly closes = new Map<number, number>();
  private readonly connected: GuardedSubject<ClientConnected>;
  private readonly disconnected: GuardedSubject<ClientDisconnected>;
  private readonly messages: GuardedSubject<ClientSent>;

  protected constructor(protected readonly logger: Logger) {
    const report = (cause: unknown) => logger.error('a listener of this registry threw', stackOf(cause));
    this.connected = new GuardedSubject(report);
    this.disconnected = new GuardedSubject(report);
    this.messages = new GuardedSubject(report);
  }

  /** After a client was registered and greeted. */
  get connected$(): Observable<ClientConnected> {
    return this.connected.observable;
  }

  /** After a client's socket is gone and it was taken out of the registry; once for each `connected$`. */
  get disconnected$(): Observable<ClientDisconnected> {
    return this.disconnected.observable;
  }

  /** Everything clients send on the plain wire, and on `push.v1` the events that are not the gateway's own. */
  get messages$(): Observable<ClientSent> {
    return this.messages.observable;
  }

  /** Number of connected clients. */
  count(): number {
    return this.clientsById.size;
  }

  /** The connected clients, oldest first, as they are now. */
  clients(): ClientInfo[] {
    return [...this.clientsById.values()].map(clientInfo);
  }

  /**
   * Closes one connection; false where no such client is here. `code` is 1000, 1001, 1008 to 1014, or 3000 to 4999
   * (RFC 6455 section 7.4); `reason` is at most 123 bytes.
   */
  disconnect(clientId: string, code = 1000, reason = ''): boolean {
    assertCloseArguments(code, reason);
    const client = this.clientsById.get(clientId);
    client?.close({ code, reason });
    return client !== undefined;
  }

  /**
   * Sends a text as it is to every client of this gateway on this node, at most once, outside snapshot and log.
   * Returns to how many. `except` is a clientId. Throws InvalidPushError, or PayloadTooLargeError over 1 MiB.
   */
  broadcast(text: string, options: { except?: string } = {}): number {
    if (typeof text !== 'string') throw new InvalidPushError('text', 'must be a string');
    const bytes = Buffer.byteLength(text);
    if (bytes > MAX_BROADCAST_BYTES) throw new PayloadTooLargeError('the text', bytes, MAX_BROADCAST_BYTES);
    const frame = Frame.text(text);
    let matched = 0;
    for (const client of this.clientsById.values()) {
      if (client.state !== 'open' || client.clientId === options.except) continue;
      client.offer(frame);
      matched += 1;
    }
    return matched;
  }

  /** @internal How many connections have ended with each close code. */
  get closeCounts(): ReadonlyMap<number, number> {
    return this.closes;
  }

  /** @internal */
  all(): IterableIterator<C> {
    return this.clientsById.values();
  }

  /** @internal The gateway's: the client is greeted by `greet` before any listener or datum can reach it. */
  register(client: C, greet: () => void): void {
    this.clientsById.set(client.clientId, client);
    this.onRegistered(client);
    greet();
    this.connected.next({ client: clientInfo(client) });
  }

  /** @internal The gateway's, once the socket is gone. */
  unregister(client: C, code: number, reason: string): void {
    if (!this.clientsById.delete(client.clientId)) return;
    this.closes.set(code, (this.closes.get(code) ?? 0) + 1);
    this.onUnregistered(client);
    client.markClosed();
    this.disconnected.next({ client: clientInfo(client), code, reason });
  }

  /** @internal The gateway's. False where no application listens. */
  emitMessage(client: C, event: string | undefined, data: unknown): boolean {
    if (!this.messages.isObserved) return false;
    this.messages.next({ client: clientInfo(client), event, data });
    return true;
  }

  /** @internal Resolves once no client is left. */
  async whenEmpty(): Promise<void> {
    if (this.count() === 0) return;
    await firstValueFrom(this.disconnected$.pipe(filter(() => this.count() === 0)));
  }

  protected find(clientId: string): C | undefined {
    return this.clientsById.get(clientId);
  }

  protected abstract onRegistered(client: C): void;
  protected abstract onUnregistered(client: C): void;
}

export function clientInfo(client: Client): ClientInfo {
  const { clientId, key, userName, remoteAddress, format } = client.identity;
  return {
    clientId,
    key,
    userName,
    remoteAddress,
    wireFormat: format === WireFormat.pushV1 ? 'push.v1' : 'plain',
    connectedAt: new Date(client.connectedAtMs),
    inFlightBytes: client.inFlightBytes,
    outboxBytes: client.outboxBytes,
    behind: client.behindBy,
    conflated: client.conflatedTotal,
  };
}

/** Throws a RangeError where a close code or its reason may not be sent (RFC 6455 section 7.4). */
export function assertCloseArguments(code: number, reason: string): void {
  const isCodeAllowed =
    code === 1000 || code === 1001 || (code >= 1008 && code <= 1014) || (code >= 3000 && code <= 4999);
  if (!Number.isInteger(code) || !isCodeAllowed) {
    throw new RangeError(`close code ${code} may not be sent: use 1000, 1001, 1008 to 1014, or 3000 to 4999`);
  }
  if (Buffer.byteLength(reason) > 123) throw new RangeError('a close reason is at most 123 bytes');
}
