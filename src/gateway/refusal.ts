import { type IncomingMessage, type ServerResponse, STATUS_CODES } from 'node:http';
import type { Duplex } from 'node:stream';

/** Why a connection is not let in: the HTTP answer, and a stable word for logs, counters and clients. */
export interface Refusal {
  readonly status: number;
  readonly error: string;
  /** What to do about it. Holds nothing that the client sent. */
  readonly message: string;
  readonly headers?: Readonly<Record<string, string>>;
}

export function refusalBody({ status, error, message }: Refusal): string {
  return JSON.stringify({ statusCode: status, error, message });
}

function refusalHeaders(refusal: Refusal, body: string): Record<string, string> {
  return {
    'Content-Type': 'application/json; charset=utf-8',
    'Content-Length': String(Buffer.byteLength(body)),
    'Cache-Control': 'no-store',
    ...refusal.headers,
  };
}

/** Answers an upgrade that nobody takes, and ends its connection. */
export function refuseUpgrade(socket: Duplex, refusal: Refusal): void {
  if (!socket.writable) {
    socket.destroy();
    return;
  }
  const body = refusalBody(refusal);
  const headers = Object.entries({ ...refusalHeaders(refusal, body), Connection: 'close' });
  // The server's sockets stay half open: without this a peer that never ends its side would keep the place.
  socket.once('finish', () => socket.destroy());
  socket.end(
    `HTTP/1.1 ${refusal.status} ${STATUS_CODES[refusal.status] ?? ''}\r\n` +
      `${headers.map(([name, value]) => `${name}: ${value}\r\n`).join('')}\r\n${body}`,
  );
}

/** Answers a plain GET. */
export function refuseRequest(request: IncomingMessage, response: ServerResponse, refusal: Refusal): void {
  const body = refusalBody(refusal);
  response.writeHead(refusal.status, refusalHeaders(refusal, body));
  response.end(request.method === 'HEAD' ? undefined : body);
}
