import type { Socket } from 'node:net';
import { join } from 'node:path';
import { type RawData, WebSocket } from 'ws';
import { parseCursor } from '../../../src/protocol/cursor.js';
import { PUSH_V1 } from '../../../src/protocol/messages.js';
import type { Random } from '../../support/random.js';
import type { ClientEvent, Profile } from '../history.js';
import { digestOf, HistoryWriter } from '../history.file.js';

const HANDSHAKE_TIMEOUT_MS = 5000;
const MIN_RETRY_MS = 20;
const MAX_RETRY_MS = 400;
const ACK_AFTER_MS = 200;

interface Message {
  readonly event: string;
  readonly id?: string;
  readonly data: Readonly<Record<string, unknown>>;
}

/**
 * A client as the documentation tells to write one: it returns marks, stores the last id that it has handled, and comes
 * back with it, or acknowledges it where its subscription is durable. It writes down what happens to it.
 */
export class AlarmFollower {
  private readonly history: HistoryWriter<ClientEvent>;
  private socket: WebSocket | undefined;
  private raw: Socket | undefined;
  private retry: NodeJS.Timeout | undefined;
  private retryMs = MIN_RETRY_MS;
  private ackTimer: NodeJS.Timeout | undefined;
  private unacked = 0;
  private lastId: string | undefined;
  private isEnded = false;
  private resetCount = 0;
  private ended: (() => void) | undefined;

  constructor(
    private readonly profile: Profile,
    private readonly ports: readonly number[],
    folder: string,
    private readonly random: Random,
  ) {
    this.history = new HistoryWriter(join(folder, profile.name));
    this.connect();
  }

  get name(): string {
    return this.profile.name;
  }

  get resets(): number {
    return this.resetCount;
  }

  hasReached(cursor: string): boolean {
    const own = parseCursor(this.lastId ?? '');
    const wanted = parseCursor(cursor);
    return own !== undefined && own.epoch === wanted?.epoch && own.offset >= wanted.offset;
  }

  /** Cuts the connection without a word, where there is one. */
  reset(): void {
    if (this.socket?.readyState !== WebSocket.OPEN) return;
    this.resetCount += 1;
    this.raw?.resetAndDestroy();
  }

  async end(): Promise<void> {
    this.isEnded = true;
    clearTimeout(this.retry);
    if (this.socket !== undefined) {
      const closed = new Promise<void>((resolve) => (this.ended = resolve));
      this.socket.terminate();
      await closed;
    }
    this.history.close();
  }

  private connect(): void {
    const after = this.profile.durable === undefined ? this.lastId : undefined;
    const socket = new WebSocket(this.url(after), [PUSH_V1], {
      perMessageDeflate: false,
      handshakeTimeout: HANDSHAKE_TIMEOUT_MS,
    });
    this.socket = socket;
    let why = '';
    let isOpen = false;
    socket.on('upgrade', (response) => (this.raw = response.socket));
    socket.on('open', () => (isOpen = true));
    socket.on('message', (data: RawData) => this.take(socket, String(data), after));
    socket.on('error', (cause) => (why = cause.message));
    socket.on('close', (code) => {
      this.history.write(isOpen ? { type: 'closed', code, why } : { type: 'refused', why });
      this.disconnected();
    });
  }

  private url(after: string | undefined): string {
    const { name, orgId, minSeverity, businessIds = [], businessTypes = [], durable, replaysAll } = this.profile;
    const query = new URLSearchParams({ user: name });
    if (orgId !== undefined) query.set('org', orgId);
    if (minSeverity !== undefined) query.set('minSeverity', String(minSeverity));
    for (const businessId of businessIds) query.append('businessId', businessId);
    for (const businessType of businessTypes) query.append('businessType', businessType);
    if (durable !== undefined) query.set('durable', name);
    if (after !== undefined) query.set('lastEventId', after);
    else if (replaysAll === true) query.set('replay', 'all');
    return `ws://127.0.0.1:${this.random.pick(this.ports)}/ws/alarm?${query}`;
  }

  private take(socket: WebSocket, text: string, after: string | undefined): void {
    // Behind a reset: the client is gone, and what was in its buffers with it.
    if (socket.readyState !== WebSocket.OPEN) return;
    const { event, id = '', data } = JSON.parse(text) as Message;
    if (event === 'mark') socket.send(text);
    else if (event === 'ready') this.greet(data, after);
    else if (event === 'alarm') {
      this.history.write({ type: 'delivered', id, content: digestOf(data) });
      this.handled(id);
    } else if (event === 'heartbeat') {
      this.history.write({ type: 'position', id });
      this.handled(id);
    } else if (event === 'gap') {
      const { requested, oldest, reason } = data;
      this.history.write({
        type: 'gap',
        requested: String(requested),
        oldest: String(oldest),
        reason: String(reason),
      });
    } else if (event !== 'degraded' && event !== 'drain')
      throw new Error(`${this.name} was sent what it does not expect: ${text}`);
  }

  /** A place of its own counts more than that of `ready`: behind that a gap may follow which it might not hear. */
  private greet({ cursor, resumed }: Message['data'], after: string | undefined): void {
    this.retryMs = MIN_RETRY_MS;
    this.lastId ??= String(cursor);
    const sent = after === undefined ? {} : { after };
    this.history.write({ type: 'connected', ready: String(cursor), resumed: resumed === true, ...sent });
  }

  private handled(id: string): void {
    this.lastId = id;
    const { durable } = this.profile;
    if (durable === undefined) return;
    this.unacked += 1;
    if (this.unacked >= durable.ackEvery) this.acknowledge();
    else this.ackTimer ??= setTimeout(() => this.acknowledge(), ACK_AFTER_MS);
  }

  private acknowledge(): void {
    clearTimeout(this.ackTimer);
    this.ackTimer = undefined;
    this.unacked = 0;
    if (this.lastId === undefined || this.socket?.readyState !== WebSocket.OPEN) return;
    this.history.write({ type: 'acked', id: this.lastId });
    this.socket.send(JSON.stringify({ event: 'ack', data: { id: this.lastId } }));
  }

  private disconnected(): void {
    clearTimeout(this.ackTimer);
    this.ackTimer = undefined;
    this.unacked = 0;
    this.socket = this.raw = undefined;
    if (this.isEnded) {
      this.ended?.();
      return;
    }
    this.retry = setTimeout(() => this.connect(), this.retryMs * (0.5 + this.random.next()));
    this.retryMs = Math.min(2 * this.retryMs, MAX_RETRY_MS);
  }
}
