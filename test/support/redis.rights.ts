import { readFileSync } from 'node:fs';

/** All rights that docs/OPERATIONS.md names for Redis' user, for whichever part: a code that begins with a right. */
export function documentedRights(): string[] {
  const operations = readFileSync(new URL('../../docs/OPERATIONS.md', import.meta.url), 'utf8');
  return [...operations.matchAll(/`(\+[a-z@][^`]*)`/g)].flatMap(([, named = '']) => named.split(/\s+/));
}
