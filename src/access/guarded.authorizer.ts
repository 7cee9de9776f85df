import type { Handshake } from './handshake.js';
import type { Principal } from './principal.js';
import { PushAuthorizer } from './push.authorizer.js';

/**
 * The application's authorizer, which is asked while data are on their way to others too: one that throws there, or whose
 * answer is no plain true, refuses and harms nobody else. The first failure is reported.
 */
export class GuardedAuthorizer extends PushAuthorizer {
  private hasFailed = false;

  constructor(
    private readonly authorizer: PushAuthorizer,
    private readonly report: (cause: unknown) => void,
  ) {
    super();
  }

  /** Whoever asks this waits, and answers what is thrown. */
  mayConnect(principal: Principal, handshake: Handshake): boolean | Promise<boolean> {
    return this.authorizer.mayConnect(principal, handshake);
  }

  maySee(principal: Principal, businessType: string, businessId: string | undefined): boolean {
    return this.isTrue(() => this.authorizer.maySee(principal, businessType, businessId));
  }

  mayHear(principal: Principal, orgId: string): boolean {
    return this.isTrue(() => this.authorizer.mayHear(principal, orgId));
  }

  private isTrue(ask: () => unknown): boolean {
    try {
      const verdict = ask();
      // An async method is a mistake: its promise is no verdict, and its rejection would end the process.
      if (verdict instanceof Promise) verdict.catch((cause: unknown) => this.fail(cause));
      return verdict === true;
    } catch (cause) {
      this.fail(cause);
      return false;
    }
  }

  private fail(cause: unknown): void {
    if (this.hasFailed) return;
    this.hasFailed = true;
    this.report(cause);
  }
}
