import type { Principal } from './principal.js';

/** Whose sessions end: all that a user has now, or those of one token. */
export type RevocationTarget = { readonly userName: string } | { readonly tokenId: string };

/**
 * What was revoked, for as long as a token can be valid: a token of the user that was issued before, or the one token, is
 * refused. Credentials that do not say when they were issued are refused for all that time.
 */
export class Revocations {
  /** By user or token, oldest first: when it was revoked. */
  private readonly revokedAtMs = new Map<string, number>();

  constructor(
    private readonly keptMs: number,
    private readonly now: () => number = Date.now,
  ) {}

  add(target: RevocationTarget): void {
    const key = keyOf(target);
    this.forgetOld();
    this.revokedAtMs.delete(key);
    this.revokedAtMs.set(key, this.now());
  }

  isRevoked({ userName, tokenId, issuedAt }: Principal): boolean {
    if (this.revokedAtMs.size === 0) return false;
    if (tokenId !== undefined && this.atMs({ tokenId }) !== undefined) return true;
    const atMs = userName === undefined ? undefined : this.atMs({ userName });
    // A token says in whole seconds when it was issued.
    return atMs !== undefined && !(issuedAt !== undefined && issuedAt.getTime() > atMs);
  }

  private atMs(target: RevocationTarget): number | undefined {
    const atMs = this.revokedAtMs.get(keyOf(target));
    return atMs !== undefined && atMs > this.now() - this.keptMs ? atMs : undefined;
  }

  private forgetOld(): void {
    for (const [key, atMs] of this.revokedAtMs) {
      if (atMs > this.now() - this.keptMs) return;
      this.revokedAtMs.delete(key);
    }
  }
}

function keyOf(target: RevocationTarget): string {
  return 'tokenId' in target ? `token:${target.tokenId}` : `user:${target.userName}`;
}
