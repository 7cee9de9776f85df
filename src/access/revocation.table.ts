import type { Principal } from './principal.js';
import type { RevocationTarget } from './revocations.js';

/** A revocation as it is stored: who or what, and when, by the clock of the node that revoked. */
export interface Revocation {
  /** `user:<userName>` or `token:<tokenId>`. */
  readonly subject: string;
  readonly atMs: number;
}

/** What this node knows of revocations, so that a handshake need not wait to be checked. */
export class RevocationTable {
  /** By subject, more or less oldest first: when it was revoked. */
  private readonly revokedAtMs = new Map<string, number>();

  constructor(
    private readonly keptMs: number,
    private readonly now: () => number,
  ) {}

  /** Everything that is remembered. */
  *all(): Iterable<Revocation> {
    for (const [subject, atMs] of this.revokedAtMs) if (this.isKept(atMs)) yield { subject, atMs };
  }

  /** False where it says nothing new. */
  add({ subject, atMs }: Revocation): boolean {
    this.forgetOld();
    if (!this.isKept(atMs) || atMs <= (this.revokedAtMs.get(subject) ?? -Infinity)) return false;
    this.revokedAtMs.delete(subject);
    this.revokedAtMs.set(subject, atMs);
    return true;
  }

  isRevoked({ userName, tokenId, issuedAt }: Principal): boolean {
    if (this.revokedAtMs.size === 0) return false;
    if (tokenId !== undefined && this.atMs({ tokenId }) !== undefined) return true;
    const atMs = userName === undefined ? undefined : this.atMs({ userName });
    // A token says in whole seconds when it was issued.
    return atMs !== undefined && !(issuedAt !== undefined && issuedAt.getTime() > atMs);
  }

  private atMs(target: RevocationTarget): number | undefined {
    const atMs = this.revokedAtMs.get(subjectOf(target));
    return atMs !== undefined && this.isKept(atMs) ? atMs : undefined;
  }

  /** By this clock a token of that time has ended too, wherever it was revoked. */
  private isKept(atMs: number): boolean {
    return atMs > this.now() - this.keptMs;
  }

  private forgetOld(): void {
    for (const [subject, atMs] of this.revokedAtMs) {
      if (this.isKept(atMs)) return;
      this.revokedAtMs.delete(subject);
    }
  }
}

export function subjectOf(target: RevocationTarget): string {
  return 'tokenId' in target ? `token:${target.tokenId}` : `user:${target.userName}`;
}
