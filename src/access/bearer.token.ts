import type { IncomingMessage } from 'node:http';

/** A browser cannot set headers on a WebSocket, but it can offer subprotocols; this one is never answered. */
const SUBPROTOCOL_PREFIX = 'bearer.';
/** Begins where a word does: looked for at every character, a long word would take a second. */
const JWT_LIKE = /(?<![A-Za-z0-9_-])[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}(?:\.[A-Za-z0-9_-]*)+/g;

/** The token that a request carries (RFC 6750); the query counts only where it is given. */
export function bearerToken({ headers }: IncomingMessage, query: URLSearchParams | undefined): string | undefined {
  const { authorization } = headers;
  if (authorization !== undefined) return /^Bearer +(\S+)$/i.exec(authorization)?.[1];
  const offers = headers['sec-websocket-protocol']?.split(',').map((offer) => offer.trim()) ?? [];
  const offer = offers.find((each) => each.startsWith(SUBPROTOCOL_PREFIX));
  return offer?.slice(SUBPROTOCOL_PREFIX.length) ?? query?.get('access_token') ?? undefined;
}

/** What is logged holds no token, whoever wrote the message. */
export function withoutTokens(text: string): string {
  return text.replaceAll(JWT_LIKE, '[token]');
}
