import { IncomingMessage } from 'node:http';
import { Socket } from 'node:net';
import * as ws from 'ws';
import { bearerToken, withoutTokens } from '../../src/access/bearer.token.js';
import { isOriginAllowed } from '../../src/access/origin.js';
import { createPeerReader, isLoopbackHost } from '../../src/access/peer.js';
import { DEFLATE_WINDOW_BITS } from '../../src/fan-out/frame.js';
import { MAX_PART_BYTES, partFault, rawDataKey } from '../../src/fan-out/key.js';
import { markOfPong } from '../../src/fan-out/mark.js';
import { parseAlarmRequest } from '../../src/gateway/alarm.query.js';
import { GatewayRoutes } from '../../src/gateway/gateway.routes.js';
import { suitableExtensions } from '../../src/gateway/push.socket.js';
import type { Refusal } from '../../src/gateway/refusal.js';
import { parseSubscription } from '../../src/gateway/subscription.query.js';
import {
  checkRequest,
  checkWebSocketHeaders,
  chooseWireFormat,
  decodeParameters,
  isRefusal,
} from '../../src/gateway/upgrade.checks.js';
import { BadMessageError, type ClientMessage, parseClientMessage } from '../../src/protocol/client-message.js';
import { formatCursor, parseCursor } from '../../src/protocol/cursor.js';
import { PushOptions } from '../../src/push.options.js';
import type { Random } from '../support/random.js';
import { type FuzzRequest, mutate, randomMessage, randomRequest, randomText } from './generators.js';

/** What ws itself makes of a header; its types leave these out. */
interface WsParsers {
  readonly subprotocol: { parse(header: string): Set<string> };
  readonly extension: { parse(header: string): Record<string, unknown[] | undefined> };
  readonly PerMessageDeflate: new (options: object) => { accept(offers: unknown[]): Record<string, unknown> };
}

const { subprotocol, extension, PerMessageDeflate } = ws as unknown as WsParsers;
const SOCKET = Object.defineProperty(new Socket(), 'remoteAddress', { value: '127.0.0.1' });
const routes = new GatewayRoutes(new PushOptions());
const TRUST_LISTS = [[], ['loopback'], ['10.0.0.0/8', '::1']];
const readers = TRUST_LISTS.map((list) => ({ isTrusting: list.includes('loopback'), read: createPeerReader(list) }));
const REFUSALS: ReadonlySet<number> = new Set([400, 405, 414, 426, 431]);

// eslint-disable-next-line no-control-regex -- what Node's parser refuses
const NOT_IN_HEADERS = /[\x00-\x08\x0a-\x1f\x7f]/g;

/** Longer than any case may take; one that does is asked again, since the machine has other work too. */
const SLOW_MS = 100;

export interface PureTally {
  requests: number;
  admitted: number;
  messages: number;
  understood: number;
  texts: number;
  slowestMs: number;
}

/** Runs so many cases through the functions that look at what clients send; throws where one breaks its promise. */
export function runPureCases(random: Random, cases: number, progress: (done: number) => void = () => {}): PureTally {
  const tally: PureTally = { requests: 0, admitted: 0, messages: 0, understood: 0, texts: 0, slowestMs: 0 };
  const { stackTraceLimit } = Error;
  // Most cases end in an error that is expected, and its stack would take longer than the case.
  Error.stackTraceLimit = 0;
  try {
    for (let done = 0; done < cases; done++) {
      runTimed(caseOf(random, tally), tally);
      if (done % 10_000 === 0) progress(done);
    }
  } finally {
    Error.stackTraceLimit = stackTraceLimit;
  }
  return tally;
}

/** The case's input is made before, so that it can be run again. */
function caseOf(random: Random, tally: PureTally): () => void {
  switch (random.weighted({ request: 3, message: 5, text: 2 })) {
    case 'request': {
      const request = asParsed(randomRequest(random));
      const isTwoWay = random.chance(0.5);
      tally.requests += 1;
      return () => {
        if (checkRequestCase(request, isTwoWay)) tally.admitted += 1;
      };
    }
    case 'message': {
      const text = randomMessage(random);
      tally.messages += 1;
      return () => {
        if (checkMessage(text)) tally.understood += 1;
      };
    }
    default: {
      const text = random.chance(0.5)
        ? randomText(random)
        : mutate(random, random.pick(['abc.12', 'm32', 'a.b.c', 'dev']));
      tally.texts += 1;
      return () => checkText(text);
    }
  }
}

/** Node's parser gives each byte as a character, without control characters and without spaces around it. */
function asParsed({ headers, ...request }: FuzzRequest): FuzzRequest {
  return { ...request, headers: headers.map(([name, value]) => [name, parsedValue(value)] as const) };
}

function parsedValue(value: string): string {
  const bytes = Array.from(value, (character) =>
    character <= '\xff' ? character : Buffer.from(character).toString('latin1'),
  );
  const text = bytes.join('').replaceAll(NOT_IN_HEADERS, '');
  return text.replace(/^[\t ]+/, '').replace(/[\t ]+$/, '');
}

/** As Node's parser hands it on; one socket for all, which takes most of the time to make. */
function requestOf({ method, url, headers }: FuzzRequest): IncomingMessage {
  const request = new IncomingMessage(SOCKET);
  request.method = method;
  request.url = url;
  const lines = headers.flat();
  const add = Reflect.get(request, '_addHeaderLines') as (lines: string[], count: number) => void;
  add.call(request, lines, lines.length);
  return request;
}

function runTimed(run: () => void, tally: PureTally): void {
  const durations: number[] = [];
  do {
    const startMs = performance.now();
    run();
    durations.push(performance.now() - startMs);
  } while (Math.min(...durations) > SLOW_MS && durations.length < 3);
  const shortestMs = Math.min(...durations);
  demand(shortestMs <= SLOW_MS, `a case took ${shortestMs} ms`);
  tally.slowestMs = Math.max(tally.slowestMs, shortestMs);
}

function demand(holds: boolean, what: string, input?: unknown): asserts holds {
  if (!holds) throw new Error(input === undefined ? what : `${what}: ${JSON.stringify(input)}`);
}

/** True where the request would be let in. */
function checkRequestCase(given: FuzzRequest, isTwoWay: boolean): boolean {
  const { url, headers } = given;
  const request = requestOf(given);
  const faults: (Refusal | undefined)[] = [checkRequest(request), checkWebSocketHeaders(request)];
  if (faults[1] === undefined) {
    const key = String(request.headers['sec-websocket-key']);
    demand(Buffer.from(key, 'base64').length === 16, 'a key that was taken is not 16 bytes', key);
  }
  const format = chooseWireFormat(request);
  if (isRefusal(format)) faults.push(format);
  else checkSubprotocols(request.headers['sec-websocket-protocol']);
  checkExtensions(headers.find(([name]) => name === 'Sec-WebSocket-Extensions')?.[1] ?? '');

  const query = new URLSearchParams(url.split('?').slice(1).join('?'));
  const lastEventId = request.headersDistinct['last-event-id']?.join();
  faults.push(checkAlarmRequest(query, lastEventId, isTwoWay), checkSubscription(query));
  checkToken(bearerToken(request, query));
  checkPeers(request, headers);

  const route = routes.match(url);
  if (route !== undefined) {
    const raw = Object.values(route.rawParameters);
    const path = route.gateway === 'alarm' ? '/ws/alarm' : `/ws/rowdata/${raw.join('/')}`;
    demand(url.split('?', 1)[0] === path, 'a path was matched that is not the route’s', url);
    demand(!raw.some((part) => /[/?]/.test(part)), 'a part holds several', url);
    faults.push(checkParameters(route.rawParameters));
  }
  for (const fault of faults) if (fault !== undefined) checkRefusal(fault);
  return route !== undefined && faults.every((fault) => fault === undefined);
}

function checkRefusal({ status, error, message }: Refusal): void {
  demand(REFUSALS.has(status), 'a refusal with another status', status);
  demand(/^[a-zA-Z]+$/.test(error) && /^[\x20-\x7e]{1,200}$/.test(message), 'a refusal in odd words', [error, message]);
}

function checkSubprotocols(header: string | undefined): void {
  if (header === undefined) return;
  demand(subprotocol.parse(header).has('push.v1'), 'ws does not see the subprotocol that was chosen', header);
}

/** Whatever ws accepts of what is left has a window that the shared frames fit. */
function checkExtensions(header: string): void {
  const suitable = suitableExtensions(header);
  demand(suitable.length <= header.length, 'extensions were added', header);
  if (suitable === '') return;
  let accepted: Record<string, unknown>;
  try {
    const offers = extension.parse(suitable)['permessage-deflate'];
    if (offers === undefined) return;
    accepted = new PerMessageDeflate({ isServer: true, serverNoContextTakeover: true }).accept(offers);
  } catch {
    // Refused by ws.
    return;
  }
  const bits = accepted['server_max_window_bits'];
  demand(bits === undefined || Number(bits) >= DEFLATE_WINDOW_BITS, 'a window was accepted that is too small', header);
}

function checkAlarmRequest(
  query: URLSearchParams,
  lastEventId: string | undefined,
  isTwoWay: boolean,
): Refusal | undefined {
  const asked = parseAlarmRequest(query, lastEventId, isTwoWay);
  if (isRefusal(asked)) return asked;
  const { filter, replay, durable } = asked;
  const severity = filter.minSeverity ?? 1;
  demand(Number.isInteger(severity) && severity >= 1 && severity <= 1000, 'a severity that is none', severity);
  for (const part of [...(filter.businessTypes ?? []), ...(filter.businessIds ?? [])]) {
    demand(partFault(part) === undefined, 'a part in a filter breaks the rule', part);
  }
  const isCount = typeof replay === 'number' && Number.isInteger(replay) && replay >= 1 && replay <= 1000;
  demand(replay === undefined || replay === 'all' || replay === 'active' || isCount, 'a replay that is none', replay);
  demand(durable === undefined || /^[\w-]{1,64}$/.test(durable), 'a name that is none', durable);
  const isResuming = asked.lastEventId !== undefined;
  demand(isTwoWay || !(isResuming || durable !== undefined), 'the plain wire resumes', String(query));
  demand(!isResuming || (durable === undefined && replay === undefined), 'two places to begin', String(query));
  return undefined;
}

function checkSubscription(query: URLSearchParams): Refusal | undefined {
  const asked = parseSubscription(query);
  if (isRefusal(asked)) return asked;
  const { maxFrequencyHz = 1, snapshot = true, history = 0 } = asked;
  demand(maxFrequencyHz > 0 && maxFrequencyHz <= 1000, 'a frequency that is none', maxFrequencyHz);
  demand(typeof snapshot === 'boolean', 'a snapshot that is none', snapshot);
  demand(Number.isSafeInteger(history) && history >= 0, 'a history that is none', history);
  return undefined;
}

function checkToken(token: string | undefined): void {
  demand(token === undefined || typeof token === 'string', 'a token that is no text', token);
}

function checkPeers(request: IncomingMessage, headers: readonly (readonly [string, string])[]): void {
  const hosts = headers.filter(([name]) => name === 'Host').map(([, value]) => value);
  const origin = headers.find(([name]) => name === 'Origin')?.[1];
  for (const { isTrusting, read } of readers) {
    const peer = read(request);
    demand((peer === undefined) === (hosts.length !== 1 || hosts[0] === ''), 'not one Host, and a peer', hosts);
    if (peer === undefined) continue;
    const { host, scheme, remoteAddress, isLoopbackPeer } = peer;
    demand(isLoopbackPeer, 'the peer is not where its socket is');
    demand(host !== '' && host === host.toLowerCase(), 'a host that is none', host);
    demand(
      isTrusting || (scheme === 'http' && remoteAddress === '127.0.0.1'),
      'an untrusted peer was believed',
      headers,
    );
    demand(isTrusting || host === hosts[0]?.toLowerCase(), 'an untrusted peer’s host was believed', headers);
    if (isLoopbackHost(host)) demand(/^(localhost|127\.|\[::1\])/.test(host), 'a host that is not this machine', host);
    checkOrigin(origin, peer);
  }
}

function checkOrigin(origin: string | undefined, peer: { scheme: 'http' | 'https'; host: string }): void {
  const isSame = isOriginAllowed(origin, peer, []);
  if (origin === undefined) demand(isSame, 'a client that is no browser was refused');
  else if (isSame)
    demand(new URL(origin).origin === origin && origin.startsWith(`${peer.scheme}://`), 'no origin', origin);
  const listed = 'https://app.example';
  const isListed = isOriginAllowed(origin, peer, [listed]);
  demand(isListed === (origin === undefined || origin === listed), 'an origin that is not in the list', origin);
  demand(isOriginAllowed(origin, peer, ['*']), 'any origin was not any', origin);
}

function checkParameters(raw: Readonly<Record<string, string>>): Refusal | undefined {
  const parameters = decodeParameters(raw);
  if (isRefusal(parameters)) return parameters;
  for (const [name, part] of Object.entries(parameters)) {
    demand(partFault(part) === undefined, 'an admitted part breaks the rule', part);
    demand(decodeURIComponent(raw[name] ?? '') === part, 'a part was decoded to another', part);
    demand(decodeParameters({ [name]: encodeURIComponent(part) })[name as never] === part, 'no way back', part);
  }
  const { businessType, businessId, userName } = parameters;
  if (businessType === undefined || businessId === undefined || userName === undefined) return undefined;
  const parts = rawDataKey(businessType, businessId, userName, 'client').split(':');
  const decoded = parts.map(decodeURIComponent);
  demand(
    JSON.stringify(decoded.slice(2)) === JSON.stringify([businessType, businessId, userName, 'client']),
    'the key is another’s',
    parts,
  );
  return undefined;
}

/** True where it was a message. */
function checkMessage(text: string): boolean {
  let message: ClientMessage;
  try {
    message = parseClientMessage(text);
  } catch (cause) {
    demand(cause instanceof BadMessageError, `another error: ${String(cause)}`, text);
    demand(/^[\x20-\x7e]{1,100}$/.test(cause.message), 'a fault in odd words', cause.message);
    checkRef(cause.ref, text);
    return false;
  }
  checkRef(message.ref, text);
  checkClientMessage(message, text);
  const event = message.event === 'other' ? message.name : message.event;
  const again = JSON.stringify({ event, data: message.data, ref: message.ref });
  demand(JSON.stringify(parseClientMessage(again)) === JSON.stringify(message), 'no way back', text);
  return true;
}

function checkRef(ref: unknown, text: string): void {
  const isText = typeof ref === 'string' && ref.length <= 64;
  demand(ref === undefined || isText || Number.isFinite(ref), 'a ref that is none', text);
}

function checkClientMessage(message: ClientMessage, text: string): void {
  switch (message.event) {
    case 'subscribe':
      for (const { businessType, businessId, maxFrequencyHz = 1, history = 0, ...rest } of message.data.keys) {
        demand(typeof businessType === 'string' && typeof businessId === 'string', 'a key that is none', text);
        demand(maxFrequencyHz > 0 && maxFrequencyHz <= 1000, 'a frequency that is none', text);
        demand(Number.isSafeInteger(history) && history >= 0, 'a history that is none', text);
        demand(
          Object.keys(rest).every((name) => name === 'snapshot'),
          'more than was asked for',
          text,
        );
      }
      break;
    case 'unsubscribe':
      for (const key of message.data.keys) demand(Object.keys(key).length === 2, 'more than a key', text);
      break;
    case 'mark':
      demand(Number.isSafeInteger(message.data.n), 'a mark that is none', text);
      break;
    case 'ack':
      demand(parseCursor(message.data.id) !== undefined, 'a cursor that is none', text);
      break;
    case 'auth':
      demand(message.data.token !== '', 'a token that is none', text);
      break;
    case 'other':
      demand(message.name !== '' && message.name.length <= 64, 'an event that is none', text);
      break;
    default:
      message satisfies never;
  }
}

function checkText(text: string): void {
  const cursor = parseCursor(text);
  if (cursor !== undefined) demand(formatCursor(cursor) === text, 'a cursor has no way back', text);
  // eslint-disable-next-line no-control-regex -- what the rule is about
  const isPart = !/[\u0000-\u001f\u007f-\u009f\u2028\u2029\p{Cs}]/u.test(text) && !['', '*', '.', '..'].includes(text);
  const isShort = Buffer.byteLength(text) <= MAX_PART_BYTES;
  demand((partFault(text) === undefined) === (isPart && isShort), 'the rule for parts is another', text);
  const mark = markOfPong(Buffer.from(text));
  demand(mark === undefined || Number.isSafeInteger(mark), 'a mark that is none', text);
  demand(withoutTokens(withoutTokens(text)) === withoutTokens(text), 'a token is left', text);
  withoutTokens(text.repeat(100));
}
