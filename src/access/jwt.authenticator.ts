import type { JWTPayload, JWTVerifyGetKey, JWTVerifyOptions } from 'jose';
import { partFault } from '../fan-out/key.js';
import { AuthenticationError, Authenticator } from './authenticator.js';
import { bearerToken } from './bearer.token.js';
import type { Handshake } from './handshake.js';
import type { Principal } from './principal.js';

export interface JwtOptions {
  /** Shared secret of at least 32 bytes (RFC 7518 section 3.2). Either this or `jwksUrl`. */
  readonly secret?: string | undefined;
  /** Where the issuer publishes its keys, `https://…/.well-known/jwks.json`. */
  readonly jwksUrl?: string | undefined;
  /** Required value of `iss`. */
  readonly issuer?: string | undefined;
  /** Required value of `aud`. */
  readonly audience?: string | undefined;
  /** Algorithms that are accepted. Default: HS256 with a secret; RS256, PS256, ES256 and EdDSA with keys. */
  readonly algorithms?: readonly string[];
  /** How far clocks may differ. Default 5. */
  readonly clockToleranceSeconds?: number;
  /** Accept `?access_token=` too. URLs end in logs and histories, so only where nothing else is possible. Default false. */
  readonly acceptsQueryToken?: boolean;
  /** The claim that names the user. Default `sub`. */
  readonly userNameClaim?: string;
}

type Verify = (token: string) => Promise<JWTPayload>;

const MIN_SECRET_BYTES = 32;
const SYMMETRIC = /^HS(256|384|512)$/;
const KEY_ALGORITHMS = ['RS256', 'PS256', 'ES256', 'EdDSA'];
/** What jose says where the token is at fault; all else is ours, or the key server's. */
const TOKEN_FAULTS = new Set([
  'ERR_JWT_CLAIM_VALIDATION_FAILED',
  'ERR_JWT_INVALID',
  'ERR_JWS_INVALID',
  'ERR_JWS_SIGNATURE_VERIFICATION_FAILED',
  'ERR_JOSE_ALG_NOT_ALLOWED',
  'ERR_JOSE_NOT_SUPPORTED',
  'ERR_JWKS_NO_MATCHING_KEY',
  'ERR_JWKS_MULTIPLE_MATCHING_KEYS',
]);

/**
 * Takes a JSON Web Token (RFC 7519) from `Authorization: Bearer`, or from the subprotocol `bearer.<token>` beside `push.v1`.
 * Claims: `sub` is the userName, `orgId` the organisation, `keys` what may be seen, `exp` the end. Needs the package `jose`.
 */
export class JwtAuthenticator extends Authenticator {
  private readonly verify: Promise<Verify>;

  /** Throws a TypeError where the options contradict each other. */
  constructor(private readonly options: JwtOptions) {
    super();
    checkOptions(options);
    this.verify = createVerify(options);
    // Reported when a client connects, which is refused then.
    this.verify.catch(() => {});
  }

  async authenticate({ request, query }: Handshake): Promise<Principal> {
    const token = bearerToken(request, this.options.acceptsQueryToken === true ? query : undefined);
    if (token === undefined) {
      throw new AuthenticationError(
        'tokenMissing',
        'a token is required: as "Authorization: Bearer <token>", or as the subprotocol "bearer.<token>" beside "push.v1"',
      );
    }
    return this.principalOf(token);
  }

  override async refresh(token: string): Promise<Principal> {
    return this.principalOf(token);
  }

  private async principalOf(token: string): Promise<Principal> {
    const verify = await this.verify;
    try {
      return principalFrom(await verify(token), this.options.userNameClaim ?? 'sub');
    } catch (cause) {
      const code = (cause as { code?: unknown }).code;
      if (code === 'ERR_JWT_EXPIRED')
        throw new AuthenticationError('tokenExpired', 'the token has expired: fetch a new one');
      if (typeof code === 'string' && TOKEN_FAULTS.has(code)) {
        throw new AuthenticationError(
          'tokenInvalid',
          'the token is not valid here: its signature, algorithm, issuer, audience or time is wrong',
        );
      }
      throw cause;
    }
  }
}

function checkOptions({ secret, jwksUrl, algorithms = [] }: JwtOptions): void {
  if ((secret === undefined) === (jwksUrl === undefined)) {
    throw new TypeError('JwtAuthenticator needs either a secret or a jwksUrl');
  }
  if (secret !== undefined && Buffer.byteLength(secret) < MIN_SECRET_BYTES) {
    throw new TypeError(`the secret of JwtAuthenticator must have at least ${MIN_SECRET_BYTES} bytes`);
  }
  if (jwksUrl !== undefined && !URL.canParse(jwksUrl)) throw new TypeError('the jwksUrl of JwtAuthenticator is no URL');
  // A public key taken for a shared secret would let everybody sign.
  const foreign = algorithms.find((algorithm) => SYMMETRIC.test(algorithm) !== (secret !== undefined));
  if (foreign !== undefined)
    throw new TypeError(`the algorithm ${foreign} does not go with the key of JwtAuthenticator`);
}

/** `jose` is loaded only where tokens are used. */
async function createVerify(options: JwtOptions): Promise<Verify> {
  const { createRemoteJWKSet, jwtVerify } = await import('jose');
  const { secret, jwksUrl, issuer, audience, clockToleranceSeconds = 5 } = options;
  const settings: JWTVerifyOptions = {
    algorithms: [...(options.algorithms ?? (secret === undefined ? KEY_ALGORITHMS : ['HS256']))],
    clockTolerance: clockToleranceSeconds,
    ...(issuer === undefined ? {} : { issuer }),
    ...(audience === undefined ? {} : { audience }),
  };
  if (secret !== undefined) {
    const key = new TextEncoder().encode(secret);
    return async (token) => (await jwtVerify(token, key, settings)).payload;
  }
  const keys: JWTVerifyGetKey = createRemoteJWKSet(new URL(jwksUrl ?? ''), { timeoutDuration: 4000 });
  return async (token) => (await jwtVerify(token, keys, settings)).payload;
}

function principalFrom(claims: JWTPayload, userNameClaim: string): Principal {
  const { [userNameClaim]: userName, orgId, keys, exp, iat, jti } = claims;
  if (typeof userName !== 'string' || partFault(userName) !== undefined) {
    throw new AuthenticationError(
      'tokenClaims',
      `the claim "${userNameClaim}" must be a userName as it stands in a path`,
    );
  }
  if (orgId !== undefined && typeof orgId !== 'string') {
    throw new AuthenticationError('tokenClaims', 'the claim "orgId" must be a string');
  }
  if (keys !== undefined && !isTextList(keys)) {
    throw new AuthenticationError('tokenClaims', 'the claim "keys" must be an array of strings');
  }
  if (jti !== undefined && typeof (jti as unknown) !== 'string') {
    throw new AuthenticationError('tokenClaims', 'the claim "jti" must be a string');
  }
  return {
    userName,
    ...(orgId === undefined ? {} : { orgId }),
    ...(keys === undefined ? {} : { keys }),
    ...(exp === undefined ? {} : { expiresAt: new Date(exp * 1000) }),
    ...(iat === undefined ? {} : { issuedAt: new Date(iat * 1000) }),
    ...(jti === undefined ? {} : { tokenId: jti }),
  };
}

function isTextList(value: unknown): value is string[] {
  return Array.isArray(value) && value.every((text) => typeof text === 'string');
}
