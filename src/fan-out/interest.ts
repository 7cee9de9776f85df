import type { PushTarget } from './raw-data.router.js';

/**
 * Something that a push can be addressed to, and that a node wants while it holds a client that such a push may reach. A
 * key's `businessId` may be `*`: every id of the type. `type`: pushes `to` whoever subscribed to anything of it.
 */
export type Interest =
  | { readonly kind: 'key'; readonly businessType: string; readonly businessId: string }
  | { readonly kind: 'type'; readonly businessType: string }
  | { readonly kind: 'user'; readonly userName: string }
  | { readonly kind: 'client'; readonly clientId: string }
  | { readonly kind: 'everybody' };

/** Told when the first client comes that makes this node want something, and when the last of them has gone. */
export interface InterestListener {
  gained(interest: Interest): void;
  lost(interest: Interest): void;
}

/** What a push is addressed to: whoever may be reached by it wants this, or the key's whole type. */
export function interestAddressed({
  businessType,
  businessId,
  to,
}: {
  readonly businessType: string;
  readonly businessId: string | undefined;
  readonly to: PushTarget | undefined;
}): Interest {
  if (to?.clientId !== undefined) return { kind: 'client', clientId: to.clientId };
  if (to?.userName !== undefined) return { kind: 'user', userName: to.userName };
  const address = to ?? { businessType, businessId };
  if (address.businessType === undefined || (to === undefined && address.businessId === undefined)) {
    return { kind: 'everybody' };
  }
  if (address.businessId === undefined) return { kind: 'type', businessType: address.businessType };
  return { kind: 'key', businessType: address.businessType, businessId: address.businessId };
}
