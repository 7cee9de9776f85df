import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import type { Principal } from '../../src/access/principal.js';
import type { Tickets } from '../../src/access/tickets.js';

const PATH = '/ws/rowdata/meter/5/ann';
const ANN: Principal = {
  userName: 'ann',
  orgId: 'acme/plant1',
  keys: ['meter/*', 'a%2Fb/c'],
  expiresAt: new Date(1_900_000_000_000),
  issuedAt: new Date(1_700_000_000_000),
  tokenId: 't1',
};

export interface TicketsContract {
  /** The tickets of one node; called twice, two nodes where there can be two. */
  readonly open: () => Promise<Tickets>;
  /** Until what was issued before has expired. */
  readonly expire: (isExpired: () => Promise<boolean>) => Promise<void>;
  readonly cleanUp?: () => Promise<void>;
}

/** What every backend of {@link Tickets} has to keep. */
export function describeTickets(name: string, { open, expire, cleanUp }: TicketsContract): void {
  describe(`${name}: tickets`, () => {
    let issuer: Tickets;
    /** The same, or another node. */
    let other: Tickets;

    beforeEach(async () => {
      issuer = await open();
      other = await open();
    });
    afterEach(() => cleanUp?.());

    const issue = async (principal = ANN) => (await issuer.issue(principal, PATH)) ?? '';

    test.each<[string, Principal]>([
      ['all', ANN],
      ['none', {}],
      ['anonymity', { isAnonymous: true }],
      ['names of all kinds', { userName: 'Ω "\\\u0000\u2028😀', orgId: '*', keys: [] }],
    ])('a ticket gives back its principal, with %s', async (_, principal) => {
      const ticket = await issue(principal);
      expect(await other.look(ticket, PATH)).toEqual(principal);
      expect(await other.redeem(ticket, PATH)).toEqual(principal);
    });

    test('a date that is none stays none', async () => {
      const ticket = await issue({ userName: 'ann', issuedAt: new Date(Number.NaN) });
      expect((await other.redeem(ticket, PATH))?.issuedAt?.getTime()).toBeNaN();
    });

    test('it is good once, on whichever node', async () => {
      const [first, second] = [await issue(), await issue()];
      expect(await issuer.redeem(first, PATH)).toEqual(ANN);
      for (const node of [issuer, other]) expect(await node.redeem(first, PATH)).toBeUndefined();
      expect(await other.redeem(second, PATH)).toEqual(ANN);
      for (const node of [issuer, other]) expect(await node.look(second, PATH)).toBeUndefined();
    });

    test('of many who come at once one gets in', async () => {
      const ticket = await issue();
      const answers = await Promise.all(
        Array.from({ length: 50 }, (_, n) => (n % 2 === 0 ? issuer : other).redeem(ticket, PATH)),
      );
      expect(answers.filter((principal) => principal !== undefined)).toEqual([ANN]);
    });

    test('to look does not use it up', async () => {
      const ticket = await issue();
      for (let n = 0; n < 3; n++) expect(await other.look(ticket, PATH)).toEqual(ANN);
      expect(await issuer.redeem(ticket, PATH)).toEqual(ANN);
    });

    test.each(['/ws/rowdata/meter/6/ann', '/ws/alarm', `${PATH}/`, '/ws/rowdata/%6deter/5/ann', ''])(
      'on the path %j it is worth nothing, and is used up',
      async (path) => {
        const ticket = await issue();
        expect(await other.look(ticket, path)).toBeUndefined();
        expect(await other.look(ticket, PATH)).toEqual(ANN);
        expect(await other.redeem(ticket, path)).toBeUndefined();
        expect(await issuer.redeem(ticket, PATH)).toBeUndefined();
      },
    );

    test.each(['', 'x', '__proto__', 'undefined', '\r\nFLUSHALL\r\n', '*'])(
      'a made-up one is none: %j',
      async (ticket) => {
        await issue();
        expect(await issuer.look(ticket, PATH)).toBeUndefined();
        expect(await issuer.redeem(ticket, PATH)).toBeUndefined();
      },
    );

    test('none is like another, and each fits a URL', async () => {
      const issued = await Promise.all(Array.from({ length: 200 }, () => issue()));
      expect(new Set(issued).size).toBe(200);
      for (const ticket of issued) expect(ticket).toMatch(/^[A-Za-z0-9_-]{32}$/);
    });

    test('it expires, unused', async () => {
      const ticket = await issue();
      await expire(async () => (await other.look(ticket, PATH)) === undefined);
      expect(await other.look(ticket, PATH)).toBeUndefined();
      expect(await issuer.redeem(ticket, PATH)).toBeUndefined();
    });
  });
}
