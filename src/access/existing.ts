import { reasonOf } from '../push.causes.js';
import { PushConfigurationError } from '../push.errors.js';
import { Authenticator } from './authenticator.js';
import type { Handshake } from './handshake.js';
import type { Principal } from './principal.js';
import { PushAuthorizer } from './push.authorizer.js';

/** An injectable of the application, which may be made after the module is. */
export class ExistingAuthenticator extends Authenticator {
  constructor(private readonly find: () => Authenticator) {
    super();
  }

  /** Nest's hook. */
  onApplicationBootstrap(): void {
    assertFound(this.find, Authenticator);
  }

  authenticate(handshake: Handshake): Principal | Promise<Principal> {
    return this.find().authenticate(handshake);
  }

  override refresh(token: string, current: Principal): Principal | Promise<Principal> {
    return this.find().refresh(token, current);
  }
}

/** As {@link ExistingAuthenticator}. */
export class ExistingAuthorizer extends PushAuthorizer {
  constructor(private readonly find: () => PushAuthorizer) {
    super();
  }

  /** Nest's hook. */
  onApplicationBootstrap(): void {
    assertFound(this.find, PushAuthorizer);
  }

  mayConnect(principal: Principal, handshake: Handshake): boolean | Promise<boolean> {
    return this.find().mayConnect(principal, handshake);
  }

  maySee(principal: Principal, businessType: string, businessId: string | undefined): boolean {
    return this.find().maySee(principal, businessType, businessId);
  }

  mayHear(principal: Principal, orgId: string): boolean {
    return this.find().mayHear(principal, orgId);
  }
}

/** At boot rather than at the first connection. */
function assertFound<T>(find: () => T, type: abstract new (...args: never[]) => T): void {
  let found: unknown;
  try {
    found = find();
  } catch (cause) {
    throw notFound(type.name, reasonOf(cause));
  }
  if (!(found instanceof type)) throw notFound(type.name, `it does not extend ${type.name}`);
}

function notFound(typeName: string, why: string): PushConfigurationError {
  return new PushConfigurationError([`the ${typeName} that useExisting names cannot be used: ${why}`]);
}
