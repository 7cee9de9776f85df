import type { AlarmFacts, Profile } from './history.js';

const MAX_SEVERITY = 1000;

export type Exclusion = 'otherOrganisation' | 'filteredOut';

/** Why an alarm is not for a client; undefined: it is. Written from the documentation, apart from the gateway's own rule. */
export function exclusionOf(profile: Profile, facts: AlarmFacts): Exclusion | undefined {
  if (facts.orgId !== undefined && !isCovered(profile.orgId, facts.orgId)) return 'otherOrganisation';
  const { minSeverity, businessIds, businessTypes } = profile;
  if (minSeverity !== undefined && (facts.severity ?? MAX_SEVERITY) < minSeverity) return 'filteredOut';
  if (businessIds !== undefined && !businessIds.includes(facts.businessId)) return 'filteredOut';
  if (businessTypes === undefined) return undefined;
  return facts.businessType !== undefined && businessTypes.includes(facts.businessType) ? undefined : 'filteredOut';
}

function isCovered(own: string | undefined, orgId: string): boolean {
  if (own === undefined) return false;
  if (own === '*') return true;
  const segments = orgId.split('/');
  return own.split('/').every((segment, depth) => segments[depth] === segment);
}
