import type { Principal } from './principal.js';

/** Injection token of the {@link Revocations}. */
export const REVOCATIONS = Symbol('REVOCATIONS');

/** Whose sessions end: all that a user has now, or those of one token. */
export type RevocationTarget = { readonly userName: string } | { readonly tokenId: string };

/**
 * What was revoked, for as long as a token can be valid: a token of the user that was issued before, or the one token, is
 * refused. Credentials that do not say when they were issued are refused for all that time. Time is that of the node that
 * revoked.
 *
 * Guarantees: what was added counts on this node from the call on, and on the others, and after restarts, as the backend
 * says once the promise has resolved.
 */
export interface Revocations {
  /** Rejects with RevocationNotStoredError where only this node knows of it yet. */
  add(target: RevocationTarget): Promise<void>;

  isRevoked(principal: Principal): boolean;

  /** Calls back after this node learned of what others revoked. The returned function ends that. */
  onLearned(listener: () => void): () => void;

  close(): Promise<void>;
}
