import type { IncomingMessage } from 'node:http';
import { partFault } from '../fan-out/key.js';
import { WireFormat } from '../fan-out/frame.js';
import { PUSH_V1 } from '../protocol/messages.js';
import type { Refusal } from './refusal.js';

/** Node keeps some thousand headers and drops the rest without a word, Origin and Authorization among them. */
const MAX_HEADERS = 100;
const MAX_URL_BYTES = 2048;
// RFC 6455 section 4.2.1: 16 bytes in base64.
const WEBSOCKET_KEY = /^[+/0-9A-Za-z]{22}==$/;
// RFC 7230 section 3.2.6.
const TOKEN = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/;
/** What `trim` would take for a space, and ws does not. */
const NOT_ASCII = /[^\t\x20-\x7e]/;

export function checkRequest(request: IncomingMessage): Refusal | undefined {
  if (request.rawHeaders.length / 2 > MAX_HEADERS) {
    return { status: 431, error: 'headers', message: `at most ${MAX_HEADERS} header lines are allowed` };
  }
  if (Buffer.byteLength(request.url ?? '') > MAX_URL_BYTES) {
    return { status: 414, error: 'url', message: `the URL may have at most ${MAX_URL_BYTES} bytes` };
  }
  return undefined;
}

/** RFC 6455 section 4.2.1. */
export function checkWebSocketHeaders(request: IncomingMessage): Refusal | undefined {
  const { headers } = request;
  if (request.method !== 'GET') {
    return { status: 405, error: 'method', message: 'a WebSocket starts with GET', headers: { Allow: 'GET' } };
  }
  if (headers.upgrade?.toLowerCase() !== 'websocket') {
    return { status: 400, error: 'upgrade', message: 'the Upgrade header must be "websocket"' };
  }
  if (headers['sec-websocket-version'] !== '13') {
    return {
      status: 426,
      error: 'version',
      message: 'only version 13 of the WebSocket protocol is spoken here',
      headers: { 'Sec-WebSocket-Version': '13' },
    };
  }
  if (!WEBSOCKET_KEY.test(headers['sec-websocket-key'] ?? '')) {
    return { status: 400, error: 'key', message: 'the Sec-WebSocket-Key header must be 16 bytes in base64' };
  }
  return undefined;
}

/** The wire format that the client asks for; a browser would fail a connection whose subprotocol is not answered. */
export function chooseWireFormat(request: IncomingMessage): WireFormat | Refusal {
  const header = request.headers['sec-websocket-protocol'];
  if (header === undefined) return WireFormat.plain;
  const offers = header.split(',').map((offer) => offer.trim());
  const isMalformed = NOT_ASCII.test(header) || !offers.every((offer) => TOKEN.test(offer));
  if (isMalformed || new Set(offers).size < offers.length) {
    return { status: 400, error: 'subprotocol', message: 'the Sec-WebSocket-Protocol header is malformed' };
  }
  if (offers.includes(PUSH_V1)) return WireFormat.pushV1;
  return { status: 400, error: 'subprotocol', message: `the subprotocol must be "${PUSH_V1}", or none` };
}

/** Decodes the parts of the path; each is one part of the client's key. */
export function decodeParameters(raw: Readonly<Record<string, string>>): Record<string, string> | Refusal {
  const parameters: Record<string, string> = {};
  for (const [name, encoded] of Object.entries(raw)) {
    const part = decodePart(encoded);
    const fault = part === undefined ? 'is not valid percent-encoding' : partFault(part);
    if (part === undefined || fault !== undefined) {
      return { status: 400, error: 'parameter', message: `${name} ${fault}` };
    }
    parameters[name] = part;
  }
  return parameters;
}

export function isRefusal(value: object | number): value is Refusal {
  return typeof value === 'object' && 'status' in value && 'error' in value;
}

function decodePart(encoded: string): string | undefined {
  try {
    return decodeURIComponent(encoded);
  } catch {
    return undefined;
  }
}
