import type { ClientEvent, ClientEvents, ServerEvent, ServerEvents } from '../../src/protocol/messages.js';
import type { WebSocketConstructor, WebSocketLike } from '../../src/sdk/index.js';

export interface Sent {
  readonly event: ClientEvent;
  readonly ref?: number;
  readonly data: Record<string, unknown>;
}

type Listener = (event: unknown) => void;

/** A socket whose other end is the test. */
export class FakeSocket implements WebSocketLike {
  readonly texts: string[] = [];
  /** By this end; undefined: it is open. */
  closedWith: { code: number | undefined } | undefined;
  private readonly listeners = new Map<string, Listener[]>();

  constructor(
    readonly url: string,
    readonly protocols: readonly string[],
  ) {}

  addEventListener(type: string, listener: (event: never) => void): void {
    this.listeners.set(type, [...(this.listeners.get(type) ?? []), listener as Listener]);
  }

  send(text: string): void {
    this.texts.push(text);
  }

  close(code?: number): void {
    this.closedWith ??= { code };
  }

  /** What was sent since the last time, marks and all. */
  sent(): Sent[] {
    return this.texts.splice(0).map((text) => JSON.parse(text) as Sent);
  }

  open(): void {
    this.fire('open', {});
  }

  receiveText(data: string): void {
    this.fire('message', { data });
  }

  receive<E extends ServerEvent>(event: E, data: ServerEvents[E], more: { id?: string; ref?: number } = {}): void {
    this.receiveText(JSON.stringify({ event, ...more, data }));
  }

  /** Opened and greeted. */
  greet(ready: Partial<ServerEvents['ready']> = {}): void {
    this.open();
    this.receive('ready', { clientId: 'a-client', heartbeatMs: 25_000, ...ready });
  }

  alarm(id: string, data: Record<string, unknown> = {}): void {
    this.receive('alarm', { businessId: id, ...data }, { id });
  }

  /** The other end closes; 1006 without having been open: the upgrade was refused. */
  end(code: number, reason: string | null = ''): void {
    this.fire('close', { code, reason });
  }

  private fire(type: string, event: unknown): void {
    for (const listener of this.listeners.get(type) ?? []) listener(event);
  }
}

/** All sockets of a connection, the last one being its own. */
export class FakeNetwork {
  readonly sockets: FakeSocket[] = [];

  /** For the options of a connection. */
  get WebSocket(): WebSocketConstructor {
    const { sockets } = this;
    return class extends FakeSocket {
      constructor(url: string, protocols: string[]) {
        super(url, protocols);
        sockets.push(this);
      }
    };
  }

  get last(): FakeSocket {
    const socket = this.sockets.at(-1);
    if (socket === undefined) throw new Error('nobody has connected');
    return socket;
  }

  /** Parameters of the last socket's address. */
  get query(): Record<string, string> {
    return Object.fromEntries(new URL(this.last.url).searchParams);
  }
}

/** What a client sends, typed by its event. */
export function dataOf<E extends ClientEvent>(sent: Sent | undefined, event: E): ClientEvents[E] {
  if (sent?.event !== event) throw new Error(`expected ${event}, got ${JSON.stringify(sent)}`);
  return sent.data as ClientEvents[E];
}
