/** Who a connection is, as the authenticator says. */
export interface Principal {
  /** Equals the userName of the path. Undefined: anonymous, whatever name the path gives. */
  readonly userName?: string;
  /** Organisation whose alarms may be seen, `acme/plant1`; `*`: all; undefined: only alarms without organisation. */
  readonly orgId?: string;
  /** Keys that may be seen, parts percent-encoded: `meter/*`, `a%2Fb/c`. Undefined: every key. */
  readonly keys?: readonly string[];
  /** When the credentials end. The connection is closed some time after it (4401), unless it was given fresh ones. */
  readonly expiresAt?: Date;
  /** When the credentials were issued, so that a later revocation refuses them. */
  readonly issuedAt?: Date;
  /** Names the credentials, so that they can be revoked alone: the `jti` of a token. */
  readonly tokenId?: string;
  /** True where no authentication is configured: sees every key and every organisation. */
  readonly isAnonymous?: boolean;
}

/** `acme/plant1` covers itself and `acme/plant1/line3`, by whole segment. */
export function organisationCovers(principal: Principal, orgId: string): boolean {
  if (principal.isAnonymous === true || principal.orgId === '*') return true;
  if (principal.orgId === undefined) return false;
  return orgId === principal.orgId || orgId.startsWith(`${principal.orgId}/`);
}
