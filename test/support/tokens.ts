import { type JWTPayload, SignJWT } from 'jose';

/** Of 32 bytes, as HS256 needs at least; no secret of anything but tests. */
export const TEST_SECRET = 'a secret of the tests, 32 bytes.';

/** Seconds since 1970, as in tokens, so many from now. */
export function secondsFromNow(seconds: number): number {
  return Math.floor(Date.now() / 1000) + seconds;
}

/** A token that JwtAuthenticator takes where it has {@link TEST_SECRET}. */
export function signToken(claims: JWTPayload, secret = TEST_SECRET, algorithm = 'HS256'): Promise<string> {
  return new SignJWT(claims).setProtectedHeader({ alg: algorithm }).sign(new TextEncoder().encode(secret));
}

const encode = (value: unknown) => Buffer.from(JSON.stringify(value)).toString('base64url');

/** A token by hand, of any header, payload and signature. */
export function forgeToken(header: object, payload: unknown, signature = ''): string {
  return `${encode(header)}.${encode(payload)}.${signature}`;
}
