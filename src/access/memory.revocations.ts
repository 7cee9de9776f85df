import type { Principal } from './principal.js';
import { RevocationTable, subjectOf } from './revocation.table.js';
import type { Revocations, RevocationTarget } from './revocations.js';

/** The revocations of one process: a restart forgets them. */
export class MemoryRevocations implements Revocations {
  private readonly table: RevocationTable;

  constructor(
    keptMs: number,
    private readonly now: () => number = Date.now,
  ) {
    this.table = new RevocationTable(keptMs, now);
  }

  async add(target: RevocationTarget): Promise<void> {
    this.table.add({ subject: subjectOf(target), atMs: this.now() });
  }

  isRevoked(principal: Principal): boolean {
    return this.table.isRevoked(principal);
  }

  onLearned(): () => void {
    return () => {};
  }

  async close(): Promise<void> {}
}
