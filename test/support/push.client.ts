import { once } from 'node:events';
import { type ClientOptions, WebSocket } from 'ws';
import { PUSH_V1 } from '../../src/protocol/messages.js';
import { DEADLINE_MS, within } from './deadline.js';

export interface CloseEvent {
  code: number;
  reason: string;
}

/** One message of `push.v1`. */
export interface PushMessage {
  event: string;
  id?: string;
  ref?: string | number;
  data: Record<string, unknown>;
}

/**
 * A WebSocket client of ws that keeps what it was sent until the test asks for it. On `push.v1` it returns every mark, as
 * clients have to; marks are counted, not kept.
 */
export class PushClient {
  readonly closed: Promise<CloseEvent>;
  pings = 0;
  marks = 0;
  private readonly received: string[] = [];
  private readonly waiting: ((text: string) => void)[] = [];
  private identifier: string | undefined;

  private constructor(readonly socket: WebSocket) {
    this.closed = new Promise((resolve) => {
      socket.once('close', (code, reason) => resolve({ code, reason: reason.toString() }));
    });
    socket.on('error', () => {});
    socket.on('ping', () => (this.pings += 1));
    socket.on('message', (data) => this.take(String(data)));
  }

  /** Connects on the plain wire; rejects where the upgrade is refused. */
  static async connect(url: string, options: ClientOptions = {}, protocols: string[] = []): Promise<PushClient> {
    const socket = new WebSocket(url, protocols, { perMessageDeflate: false, ...options });
    const client = new PushClient(socket);
    const opened = once(socket, 'open');
    const failed = once(socket, 'close').then(() => {
      throw new Error(`${url} was not opened`);
    });
    failed.catch(() => {});
    await within(Promise.race([opened, failed]), `open ${url}`);
    return client;
  }

  /** Connects on `push.v1` and takes the `ready`. */
  static async connectPushV1(url: string, options: ClientOptions = {}): Promise<PushClient> {
    const client = await PushClient.connect(url, options, [PUSH_V1]);
    const ready = await client.nextEvent('ready');
    client.identifier = String(ready.data['clientId']);
    return client;
  }

  /** Known on `push.v1` only. */
  get clientId(): string {
    if (this.identifier === undefined) throw new Error('only a push.v1 client is told its clientId');
    return this.identifier;
  }

  /** The next message, as text. */
  async next(deadlineMs = DEADLINE_MS): Promise<string> {
    const text = this.received.shift();
    if (text !== undefined) return text;
    const coming = new Promise<string>((resolve) => this.waiting.push(resolve));
    return within(coming, 'a message', deadlineMs);
  }

  async nextMessage(deadlineMs = DEADLINE_MS): Promise<PushMessage> {
    return JSON.parse(await this.next(deadlineMs)) as PushMessage;
  }

  /** The next message, which has to be of this event. */
  async nextEvent(event: string, deadlineMs = DEADLINE_MS): Promise<PushMessage> {
    const message = await this.nextMessage(deadlineMs);
    if (message.event !== event) throw new Error(`expected ${event}, got ${JSON.stringify(message)}`);
    return message;
  }

  /** Sends a message of `push.v1` and gives the next message, its answer. */
  async ask(event: string, data: unknown, ref?: string | number): Promise<PushMessage> {
    this.send(JSON.stringify({ event, ...(ref === undefined ? {} : { ref }), data }));
    return this.nextMessage();
  }

  send(data: string | Buffer): void {
    this.socket.send(data);
  }

  /** Everything up to the message that is exactly this text, which ends it. */
  async upTo(sentinel: string): Promise<string[]> {
    const messages: string[] = [];
    for (;;) {
      const text = await this.next();
      if (text === sentinel) return messages;
      messages.push(text);
    }
  }

  async close(code = 1000, reason = ''): Promise<CloseEvent> {
    this.socket.close(code, reason);
    return within(this.closed, 'close');
  }

  async cut(): Promise<void> {
    this.socket.terminate();
    await within(this.closed, 'close');
  }

  private take(text: string): void {
    if (text.startsWith('{"event":"mark"')) {
      this.marks += 1;
      this.send(text);
      return;
    }
    const next = this.waiting.shift();
    if (next === undefined) this.received.push(text);
    else next(text);
  }
}
