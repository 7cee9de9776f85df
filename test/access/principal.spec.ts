import { describe, expect, test } from '@jest/globals';
import { organisationCovers, type Principal } from '../../src/access/principal.js';

describe('organisationCovers', () => {
  test.each<[string, Principal, string, boolean]>([
    ['itself', { orgId: 'acme/plant1' }, 'acme/plant1', true],
    ['what is below it', { orgId: 'acme/plant1' }, 'acme/plant1/line3', true],
    ['what is far below it', { orgId: 'acme' }, 'acme/plant1/line3/cell2', true],
    ['not what is above it', { orgId: 'acme/plant1' }, 'acme', false],
    ['not its neighbour', { orgId: 'acme/plant1' }, 'acme/plant2', false],
    ['only by whole segment', { orgId: 'acme/plant1' }, 'acme/plant10', false],
    ['only by whole segment, at the top', { orgId: 'acme' }, 'acme2', false],
    ['not the same segment elsewhere', { orgId: 'plant1' }, 'acme/plant1', false],
    ['as it is written', { orgId: 'acme' }, 'ACME', false],
    ['everything with the wildcard', { orgId: '*' }, 'acme/plant1', true],
    ['nothing with a wildcard within', { orgId: 'acme/*' }, 'acme/plant1', false],
    ['nothing without an organisation', {}, 'acme', false],
    ['nothing with an empty organisation', { orgId: '' }, 'acme', false],
    ['everything when anonymous', { isAnonymous: true }, 'acme', true],
    ['not everything with a name only', { userName: 'u', isAnonymous: false }, 'acme', false],
  ])('%s', (_, principal, orgId, isCovered) => {
    expect(organisationCovers(principal, orgId)).toBe(isCovered);
  });
});
