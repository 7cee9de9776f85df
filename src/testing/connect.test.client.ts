import type { IncomingMessage } from 'node:http';
import type { AddressInfo } from 'node:net';
import { text } from 'node:stream/consumers';
import { Server as TlsServer } from 'node:tls';
import { WebSocket } from 'ws';
import { PUSH_V1 } from '../protocol/messages.js';
import { DEADLINE_MS, within } from './deadline.js';
import { TestClient } from './test.client.js';

/** An application that listens, as `INestApplication`, or where it listens, as `http://127.0.0.1:3000`. */
export type TestTarget = string | { getHttpServer(): unknown };

export interface TestClientOptions {
  /** Default `push.v1`. */
  readonly wireFormat?: typeof PUSH_V1 | 'plain';
  /** Sent as `Authorization: Bearer …`. */
  readonly token?: string;
  readonly headers?: Readonly<Record<string, string>>;
  /** How long it waits for the connection, and then for each message. Default 5,000. */
  readonly deadlineMs?: number;
}

/** The server answered the upgrade with another status than 101; `error` is the word that docs/PROTOCOL.md has for it. */
export class UpgradeRefusedError extends Error {
  constructor(
    readonly status: number,
    /** Empty where the answer is not the gateway's. */
    readonly error: string,
    message: string,
  ) {
    super(`the upgrade was refused: ${status} ${error} ${message}`.trimEnd());
    this.name = 'UpgradeRefusedError';
  }
}

/**
 * Connects to a path of a running application, as `/ws/rowdata/meter/m-7/ann` or `/ws/alarm?minSeverity=400`; on `push.v1` it
 * takes the `ready`. Rejects with {@link UpgradeRefusedError} where the gateway does not let it in.
 */
export async function connectTestClient(
  target: TestTarget,
  path: string,
  { wireFormat = PUSH_V1, token, headers, deadlineMs = DEADLINE_MS }: TestClientOptions = {},
): Promise<TestClient> {
  const url = urlOf(target, path);
  const socket = new WebSocket(url, wireFormat === PUSH_V1 ? [PUSH_V1] : [], {
    perMessageDeflate: false,
    headers: { ...(token === undefined ? {} : { Authorization: `Bearer ${token}` }), ...headers },
    // The certificate of an application under test is its own.
    rejectUnauthorized: typeof target === 'string',
  });
  const client = new TestClient(socket, deadlineMs);
  try {
    await within(opened(socket), `open ${url}`, deadlineMs);
    if (wireFormat === PUSH_V1) await client.takeReady();
  } catch (cause) {
    socket.terminate();
    throw cause;
  }
  return client;
}

function urlOf(target: TestTarget, path: string): string {
  if (typeof target === 'string') return new URL(path, target.replace(/^http/, 'ws')).href;
  const server = target.getHttpServer() as { address(): AddressInfo | null };
  const address = server.address();
  if (address === null) throw new Error('the application does not listen yet: await app.listen(0) first');
  return `${server instanceof TlsServer ? 'wss' : 'ws'}://${hostOf(address)}:${address.port}${path}`;
}

/** Under a name of this machine, as the gateway expects of clients without credentials. */
function hostOf({ address, family }: AddressInfo): string {
  if (address === '::' || address === '0.0.0.0') return '127.0.0.1';
  return family === 'IPv6' ? `[${address}]` : address;
}

async function opened(socket: WebSocket): Promise<void> {
  const response = await new Promise<IncomingMessage | undefined>((resolve, reject) => {
    socket.once('open', () => resolve(undefined));
    socket.once('error', reject);
    socket.once('unexpected-response', (_request, answer) => resolve(answer));
  });
  if (response !== undefined) throw refusalOf(response.statusCode ?? 0, await text(response));
}

function refusalOf(status: number, body: string): UpgradeRefusedError {
  try {
    const { error = '', message = '' } = JSON.parse(body) as { error?: string; message?: string };
    return new UpgradeRefusedError(status, error, message);
  } catch {
    // Another's answer, as a proxy's.
    return new UpgradeRefusedError(status, '', body);
  }
}
