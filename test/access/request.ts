import { IncomingMessage } from 'node:http';
import { Socket } from 'node:net';

export interface RequestFixture {
  readonly url?: string;
  readonly method?: string;
  /** Name and value of each header line, in order; a name may come twice. */
  readonly headers?: readonly (readonly [string, string])[];
  readonly remoteAddress?: string;
  readonly isEncrypted?: boolean;
}

/** A request as Node's parser would hand it on, without a connection. */
export function requestOf({
  url = '/',
  method = 'GET',
  headers = [],
  remoteAddress = '127.0.0.1',
  isEncrypted,
}: RequestFixture) {
  const socket = new Socket();
  Object.defineProperty(socket, 'remoteAddress', { value: remoteAddress });
  if (isEncrypted !== undefined) Object.defineProperty(socket, 'encrypted', { value: isEncrypted });
  const request = new IncomingMessage(socket);
  request.url = url;
  request.method = method;
  request.rawHeaders = headers.flat();
  for (const [name, value] of headers) {
    const lowerCase = name.toLowerCase();
    const { headers: joined, headersDistinct: distinct } = request;
    const before = joined[lowerCase];
    const isFirstOnly = ['host', 'origin', 'authorization'].includes(lowerCase);
    if (before === undefined) joined[lowerCase] = value;
    else if (!isFirstOnly) joined[lowerCase] = `${String(before)}, ${value}`;
    distinct[lowerCase] = [...(distinct[lowerCase] ?? []), value];
  }
  return request;
}
