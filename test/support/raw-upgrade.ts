import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { within } from './deadline.js';

/** A key that is well formed; its value does not matter. */
export const WEBSOCKET_KEY = 'AAAAAAAAAAAAAAAAAAAAAA==';

export interface RawRequest {
  path?: string;
  method?: string;
  /** Replace the usual headers of the same name, in any case; undefined leaves one out. */
  headers?: Record<string, string | undefined>;
  /** More header lines, also repeated ones. */
  lines?: string[];
}

export interface HttpAnswer {
  status: number;
  headers: Record<string, string>;
  body: string;
  /** The body where it is JSON. */
  json: unknown;
}

/** The bytes of an upgrade, without any look at whether they make sense. */
export function upgradeBytes(
  port: number,
  { path = '/', method = 'GET', headers = {}, lines = [] }: RawRequest,
): Buffer {
  return requestBytes(method, path, lines, {
    Host: `127.0.0.1:${port}`,
    Connection: 'Upgrade',
    Upgrade: 'websocket',
    'Sec-WebSocket-Version': '13',
    'Sec-WebSocket-Key': WEBSOCKET_KEY,
    ...headers,
  });
}

/** Sends an upgrade on a socket of its own and reads the HTTP answer; the socket is gone afterwards. */
export async function rawUpgrade(port: number, request: RawRequest): Promise<HttpAnswer> {
  return exchange(port, upgradeBytes(port, request));
}

/** As {@link rawUpgrade}, for a request that asks for no upgrade. */
export async function rawGet(
  port: number,
  { path = '/', method = 'GET', headers = {}, lines = [] }: RawRequest,
): Promise<HttpAnswer> {
  return exchange(port, requestBytes(method, path, lines, { Host: `127.0.0.1:${port}`, ...headers }));
}

/** A connected socket whose errors end nothing. */
export async function openSocket(port: number): Promise<Socket> {
  const socket = connect({ port, host: '127.0.0.1' });
  socket.on('error', () => {});
  await within(once(socket, 'connect'), 'connect');
  return socket;
}

/** Reads until `enough` says so or the peer ends. */
export async function readUntil(socket: Socket, enough: (bytes: Buffer) => boolean): Promise<Buffer> {
  const chunks: Buffer[] = [];
  const read = new Promise<Buffer>((resolve) => {
    const done = () => resolve(Buffer.concat(chunks));
    socket.on('data', (chunk: Buffer) => {
      chunks.push(chunk);
      if (enough(Buffer.concat(chunks))) done();
    });
    socket.once('close', done);
    socket.once('end', done);
  });
  return within(read, 'an answer');
}

async function exchange(port: number, bytes: Buffer): Promise<HttpAnswer> {
  const socket = await openSocket(port);
  try {
    socket.write(bytes);
    const answer = await readUntil(socket, isComplete);
    if (answer.length === 0) throw new Error('the connection was ended without an answer');
    return parseAnswer(answer);
  } finally {
    socket.destroy();
  }
}

function requestBytes(
  method: string,
  path: string,
  lines: readonly string[],
  headers: Readonly<Record<string, string | undefined>>,
): Buffer {
  const byName = new Map<string, string>();
  for (const [name, value] of Object.entries(headers)) {
    if (value === undefined) byName.delete(name.toLowerCase());
    else byName.set(name.toLowerCase(), `${name}: ${value}`);
  }
  return Buffer.from([`${method} ${path} HTTP/1.1`, ...byName.values(), ...lines, '', ''].join('\r\n'), 'latin1');
}

function isComplete(bytes: Buffer): boolean {
  const { headers, body } = parseAnswer(bytes);
  const length = headers['content-length'];
  if (bytes.includes('HTTP/1.1 101')) return bytes.includes('\r\n\r\n');
  return length !== undefined && Buffer.byteLength(body) >= Number(length);
}

function parseAnswer(bytes: Buffer): HttpAnswer {
  const text = bytes.toString();
  const headEnd = text.indexOf('\r\n\r\n');
  const [statusLine = '', ...lines] = text.slice(0, Math.max(0, headEnd)).split('\r\n');
  const body = headEnd < 0 ? '' : text.slice(headEnd + 4);
  const headers = Object.fromEntries(
    lines.map((line) => [line.slice(0, line.indexOf(':')).toLowerCase(), line.slice(line.indexOf(':') + 1).trim()]),
  );
  const isJson = headers['content-type']?.startsWith('application/json') === true;
  return { status: Number(statusLine.split(' ')[1]), headers, body, json: isJson ? parseOrNothing(body) : undefined };
}

function parseOrNothing(body: string): unknown {
  try {
    return JSON.parse(body);
  } catch {
    return undefined;
  }
}
