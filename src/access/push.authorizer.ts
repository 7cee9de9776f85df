import type { KeyScope } from '../fan-out/key-scope.js';
import type { Handshake } from './handshake.js';
import { keyScopeOf } from './key-claims.js';
import { organisationCovers, type Principal } from './principal.js';

/**
 * Decides what a principal may see. {@link ClaimsAuthorizer} goes by what the authenticator said; an application that
 * decides otherwise extends that, or this, and gives it as the option `authorizer`. One that throws refuses.
 */
export abstract class PushAuthorizer {
  /** Before the upgrade is answered. `parameters` of the handshake are the parts of the raw-data path. */
  abstract mayConnect(principal: Principal, handshake: Handshake): boolean | Promise<boolean>;

  /** A key that is subscribed to; `businessId` undefined: the whole type, as a broadcast or a wildcard. */
  abstract maySee(principal: Principal, businessType: string, businessId: string | undefined): boolean;

  /** An alarm of this organisation. Alarms without one are for everybody. */
  abstract mayHear(principal: Principal, orgId: string): boolean;
}

/** The principal's `keys` and `orgId` decide. */
export class ClaimsAuthorizer extends PushAuthorizer {
  private readonly scopes = new WeakMap<Principal, KeyScope>();

  mayConnect(principal: Principal, { gateway, parameters }: Handshake): boolean | Promise<boolean> {
    const { businessType = '', businessId = '' } = parameters;
    return gateway === 'alarm' || this.maySee(principal, businessType, businessId);
  }

  maySee(principal: Principal, businessType: string, businessId: string | undefined): boolean {
    if (principal.keys === undefined) return true;
    return this.scopeOf(principal).covers(businessType, businessId);
  }

  mayHear(principal: Principal, orgId: string): boolean {
    return organisationCovers(principal, orgId);
  }

  private scopeOf(principal: Principal): KeyScope {
    let scope = this.scopes.get(principal);
    if (scope === undefined) {
      scope = keyScopeOf(principal.keys ?? []);
      this.scopes.set(principal, scope);
    }
    return scope;
  }
}
