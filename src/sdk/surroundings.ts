/** What the library uses of a WebSocket: that of browsers, of Node 22, of React Native, and of the package ws have it. */
export interface WebSocketLike {
  send(data: string): void;
  close(code?: number, reason?: string): void;
  addEventListener(type: 'error', listener: () => void): void;
  addEventListener(type: 'message', listener: (event: { data: unknown }) => void): void;
  addEventListener(type: 'close', listener: (event: { code: number; reason: string | null }) => void): void;
}

export type WebSocketConstructor = new (url: string, protocols: string[]) => WebSocketLike;

interface EventSource {
  addEventListener(type: string, listener: () => void): void;
  removeEventListener(type: string, listener: () => void): void;
}

interface HttpResponse {
  readonly status: number;
  readonly headers: { get(name: string): string | null };
  json(): Promise<unknown>;
}

interface Surroundings extends Partial<EventSource> {
  setTimeout(run: () => void, delayMs: number): unknown;
  clearTimeout(timer: unknown): void;
  readonly console: { error(fault: unknown): void };
  readonly reportError?: (fault: unknown) => void;
  readonly atob?: (text: string) => string;
  readonly fetch?: (url: string, init: Record<string, unknown>) => Promise<HttpResponse>;
  readonly AbortController?: new () => { readonly signal: unknown; abort(): void };
  readonly WebSocket?: WebSocketConstructor;
  readonly localStorage?: { getItem(key: string): string | null; setItem(key: string, value: string): void };
  readonly location?: { readonly origin: string };
  readonly navigator?: { readonly onLine?: boolean };
  readonly document?: EventSource & { readonly visibilityState: string };
}

/** Everything that differs between a browser, Node and React Native: what is not there is undefined. */
export const surroundings = globalThis as unknown as Surroundings;

/** Where a loop looks for its iterator. Hermes long had no such symbol: there Babel's loops look for this name. */
export const ASYNC_ITERATOR: typeof Symbol.asyncIterator = Symbol.asyncIterator ?? '@@asyncIterator';

/** Longer timers fire at once. */
const MAX_DELAY_MS = 2 ** 31 - 1;
const LOOPBACK = /^wss?:\/\/(localhost|127\.|\[::1])/;

/** Runs it later, unless what is returned is called before. */
export function after(delayMs: number, run: () => void): () => void {
  const timer = surroundings.setTimeout(run, Math.min(delayMs, MAX_DELAY_MS));
  return () => surroundings.clearTimeout(timer);
}

/** Shows a fault that nobody listens for where developers look for it. */
export function reportUnheard(fault: unknown): void {
  if (surroundings.reportError === undefined) surroundings.console.error(fault);
  else surroundings.reportError(fault);
}

/** Whether this machine has no network. Its own address it reaches all the same. */
export function isOffline(url: string): boolean {
  return surroundings.navigator?.onLine === false && !LOOPBACK.test(url);
}

/** Tells when the network comes or goes, and when the page is shown or hidden. Returns what ends it. */
export function watchNetwork(onNetwork: () => void, onVisibility: () => void): () => void {
  const watched = [
    [surroundings, 'online', onNetwork],
    [surroundings, 'offline', onNetwork],
    [surroundings.document, 'visibilitychange', onVisibility],
  ] as const;
  for (const [source, type, listener] of watched) source?.addEventListener?.(type, listener);
  return () => {
    for (const [source, type, listener] of watched) source?.removeEventListener?.(type, listener);
  };
}
