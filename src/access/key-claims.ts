import { partFault } from '../fan-out/key.js';
import type { KeyScope } from '../fan-out/key-scope.js';
import { ANY_BUSINESS_ID } from '../protocol/messages.js';

/**
 * What a principal's `keys` let it see: `meter/5` one key, `meter/*` a whole type, parts percent-encoded. A claim that is
 * no key covers nothing.
 */
export function keyScopeOf(keys: readonly string[]): KeyScope {
  const byType = new Map<string, Set<string>>();
  for (const claim of keys) {
    const [businessType, businessId, ...rest] = claim.split('/').map(decode);
    if (businessType === undefined || businessId === undefined || rest.length > 0) continue;
    const ids = byType.get(businessType) ?? new Set();
    byType.set(businessType, ids.add(businessId));
  }
  return {
    covers: (businessType, businessId) => {
      const ids = byType.get(businessType);
      if (ids === undefined) return false;
      return ids.has(ANY_BUSINESS_ID) || (businessId !== undefined && ids.has(businessId));
    },
  };
}

/** An encoded `%2A` is no wildcard: the rule for parts refuses it. */
function decode(part: string): string | undefined {
  if (part === ANY_BUSINESS_ID) return part;
  try {
    const decoded = decodeURIComponent(part);
    return partFault(decoded) === undefined ? decoded : undefined;
  } catch {
    return undefined;
  }
}
