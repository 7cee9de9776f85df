import { PUSH_V1, type ServerEvent, type ServerEvents } from '../protocol/messages.js';
import { DEADLINE_MS, within } from './deadline.js';

/** How a connection ended; 1006 where it was cut without a close frame (RFC 6455 section 7.4). */
export interface CloseEvent {
  readonly code: number;
  readonly reason: string;
}

/** A message of `push.v1`, as docs/PROTOCOL.md has it. */
export interface ServerMessage<E extends string = string> {
  readonly event: E;
  /** A cursor, on alarms and heartbeats. */
  readonly id?: string;
  /** Repeats that of the request. */
  readonly ref?: string | number;
  readonly data: E extends ServerEvent ? ServerEvents[E] : Record<string, unknown>;
}

/** What a client needs of a WebSocket of ws. */
export interface ClientSocket {
  readonly protocol: string;
  on(event: 'message', listener: (data: { toString(): string }) => void): unknown;
  on(event: 'error', listener: (cause: Error) => void): unknown;
  once(event: 'close', listener: (code: number, reason: { toString(): string }) => void): unknown;
  send(data: string | Uint8Array): void;
  close(code?: number, reason?: string): void;
  terminate(): void;
}

interface Waiter {
  take?: (text: string) => void;
}

/**
 * A WebSocket client that keeps what it was sent until the test asks for it, in order. On `push.v1` it returns every mark, as
 * clients have to; those are no messages for the test.
 */
export class TestClient {
  /** Resolves once the connection is gone, whoever ended it. */
  readonly closed: Promise<CloseEvent>;
  private readonly received: string[] = [];
  /** In the order in which they asked. */
  private readonly waiting = new Set<Waiter>();
  private readyData: ServerEvents['ready'] | undefined;

  /** Usually by {@link connectTestClient}. */
  constructor(
    protected readonly socket: ClientSocket,
    private readonly deadlineMs = DEADLINE_MS,
  ) {
    this.closed = new Promise((resolve) => {
      socket.once('close', (code, reason) => resolve({ code, reason: reason.toString() }));
    });
    // A close follows, and `closed` tells of it.
    socket.on('error', () => {});
    socket.on('message', (data) => this.take(data.toString()));
  }

  /** What the server said first; on `push.v1` only. */
  get ready(): ServerEvents['ready'] {
    if (this.readyData === undefined) throw new Error('only a client on push.v1 is told its clientId');
    return this.readyData;
  }

  /** On `push.v1` only. */
  get clientId(): string {
    return this.ready.clientId;
  }

  /** @internal Takes the first message of `push.v1`. */
  async takeReady(): Promise<void> {
    this.readyData = (await this.nextEvent('ready')).data;
  }

  /** The next message as text; on the plain wire it is the JSON of a datum or of an alarm. Rejects where none comes in time. */
  async next(deadlineMs = this.deadlineMs): Promise<string> {
    const text = this.received.shift();
    if (text !== undefined) return text;
    const waiter: Waiter = {};
    const coming = new Promise<string>((resolve) => (waiter.take = resolve));
    this.waiting.add(waiter);
    try {
      return await within(coming, 'a message', deadlineMs);
    } finally {
      this.waiting.delete(waiter);
    }
  }

  /** The next message of `push.v1`, whatever it is. */
  async nextMessage(deadlineMs = this.deadlineMs): Promise<ServerMessage> {
    return JSON.parse(await this.next(deadlineMs)) as ServerMessage;
  }

  /** The next message of `push.v1`, which has to be of this event: the error shows what came instead. */
  async nextEvent<E extends string>(event: E, deadlineMs = this.deadlineMs): Promise<ServerMessage<E>> {
    const message = await this.nextMessage(deadlineMs);
    if (message.event !== event) throw new Error(`expected ${event}, got ${JSON.stringify(message)}`);
    return message as ServerMessage<E>;
  }

  /** Sends a message of `push.v1` and gives the next message, its answer. */
  async ask(event: string, data: unknown, ref?: string | number): Promise<ServerMessage> {
    this.send(JSON.stringify({ event, ...(ref === undefined ? {} : { ref }), data }));
    return this.nextMessage();
  }

  send(data: string | Uint8Array): void {
    this.socket.send(data);
  }

  async close(code = 1000, reason = ''): Promise<CloseEvent> {
    this.socket.close(code, reason);
    return within(this.closed, 'close', this.deadlineMs);
  }

  /** Ends the connection without a close frame, as a lost network does. */
  async cut(): Promise<void> {
    this.socket.terminate();
    await within(this.closed, 'close', this.deadlineMs);
  }

  /** A mark that the server wants back. */
  protected returnMark(text: string): void {
    this.send(text);
  }

  private take(text: string): void {
    if (this.socket.protocol === PUSH_V1 && text.startsWith('{"event":"mark"')) {
      this.returnMark(text);
      return;
    }
    const [first] = this.waiting;
    if (first === undefined) {
      this.received.push(text);
      return;
    }
    this.waiting.delete(first);
    first.take?.(text);
  }
}
