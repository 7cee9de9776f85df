import type { Peer } from './peer.js';

/**
 * Whether a browser's page of this origin may connect. No Origin header: no browser, passes. Without a list the page
 * has to come from where it connects to: the same scheme, host and port (RFC 6454).
 */
export function isOriginAllowed(
  origin: string | undefined,
  peer: Pick<Peer, 'scheme' | 'host'>,
  allowedOrigins: readonly string[],
): boolean {
  if (origin === undefined) return true;
  if (allowedOrigins.length > 0) return allowedOrigins.includes('*') || allowedOrigins.includes(origin);
  return origin === originOf(peer);
}

/** The page's origin that counts as the same, without the scheme's own port. */
function originOf({ scheme, host }: Pick<Peer, 'scheme' | 'host'>): string | undefined {
  try {
    return new URL(`${scheme}://${host}`).origin;
  } catch {
    return undefined;
  }
}
