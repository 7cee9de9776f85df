import type { Random } from '../support/random.js';
import type { Profile } from './history.js';

/** A mix of everything that a client can ask for. */
export function profilesOf(random: Random, prefix: string, count: number, maxUnacked: number): Profile[] {
  return Array.from({ length: count }, (_, i) => ({
    name: `${prefix}-${i}`,
    ...scopeOf(random),
    ...filterOf(random),
    ...(i % 3 === 0 ? { durable: { maxUnacked, ackEvery: 1 + random.below(maxUnacked / 2) } } : {}),
  }));
}

function scopeOf(random: Random): Pick<Profile, 'orgId'> {
  const orgId = random.pick(['*', '*', '*', 'acme', 'acme/plant1', 'globex', undefined]);
  return orgId === undefined ? {} : { orgId };
}

function filterOf(random: Random): Pick<Profile, 'minSeverity' | 'businessIds' | 'businessTypes'> {
  const kind = random.weighted({ none: 4, severity: 2, ids: 2, types: 1, rare: 1 });
  if (kind === 'severity') return { minSeverity: 1 + random.below(1000) };
  if (kind === 'ids') return { businessIds: [`b${random.below(10)}`, `b${random.below(10)}`] };
  if (kind === 'types') return { businessTypes: [`t${random.below(4)}`], minSeverity: 100 };
  // Hears next to nothing but heartbeats.
  if (kind === 'rare') return { businessIds: [`b${random.below(10)}`], businessTypes: ['t0'], minSeverity: 900 };
  return {};
}
