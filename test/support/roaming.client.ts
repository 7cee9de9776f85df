import { WebSocket } from 'ws';
import { PUSH_V1 } from '../../src/protocol/messages.js';

interface Message {
  readonly event: string;
  readonly id?: string;
  readonly data: { readonly n?: number; readonly retryAfterMs?: number; readonly cursor?: string };
}

const FIRST_DELAY_MS = 1000;

/** A client that comes back as docs/PROTOCOL.md tells it: after the time of a `drain`, else after a random part of 1 s, 2 s, … */
export class RoamingClient {
  /** When it has tried to connect, the first time and again. */
  readonly attemptsAtMs: number[] = [];
  /** `n` of everything that it was sent. */
  readonly heard: number[] = [];
  readonly closeCodes: number[] = [];
  isOpen = false;
  private socket: WebSocket | undefined;
  private timer: NodeJS.Timeout | undefined;
  private lastId: string | undefined;
  private retryAtMs: number | undefined;
  private failures = 0;
  private isEnded = false;

  constructor(
    private readonly url: string,
    private readonly isTwoWay: boolean,
  ) {
    this.connect();
  }

  end(): void {
    this.isEnded = true;
    clearTimeout(this.timer);
    this.socket?.terminate();
  }

  private connect(): void {
    this.attemptsAtMs.push(performance.now());
    const resume = this.lastId === undefined ? '' : `?lastEventId=${this.lastId}`;
    const socket = new WebSocket(`${this.url}${resume}`, this.isTwoWay ? [PUSH_V1] : []);
    this.socket = socket;
    socket.on('open', () => (this.isOpen = true));
    socket.on('error', () => {});
    socket.on('message', (text) => this.take(String(text)));
    socket.on('close', (code) => {
      this.closeCodes.push(code);
      this.comeBack();
    });
  }

  private comeBack(): void {
    this.failures = this.isOpen ? 0 : this.failures + 1;
    this.isOpen = false;
    if (this.isEnded) return;
    const randomMs = Math.random() * FIRST_DELAY_MS * 2 ** this.failures;
    const delayMs = this.retryAtMs === undefined ? randomMs : Math.max(0, this.retryAtMs - performance.now());
    this.retryAtMs = undefined;
    this.timer = setTimeout(() => this.connect(), delayMs);
  }

  private take(text: string): void {
    const message = JSON.parse(text) as Message & { readonly n?: number };
    if (message.event === 'mark') {
      this.socket?.send(text);
      return;
    }
    if (message.event === 'drain') this.retryAtMs = performance.now() + (message.data.retryAfterMs ?? 0);
    // Whoever is closed before the first alarm goes on where the connection began.
    if (message.event === 'ready') this.lastId ??= message.data.cursor;
    if (message.id !== undefined) this.lastId = message.id;
    const n = this.isTwoWay ? message.data.n : message.n;
    if (n !== undefined) this.heard.push(n);
  }
}
