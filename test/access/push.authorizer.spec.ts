import { describe, expect, test } from '@jest/globals';
import { ExistingAuthenticator, ExistingAuthorizer } from '../../src/access/existing.js';
import { GuardedAuthorizer } from '../../src/access/guarded.authorizer.js';
import type { Principal } from '../../src/access/principal.js';
import { ClaimsAuthorizer, PushAuthorizer } from '../../src/access/push.authorizer.js';
import { Authenticator } from '../../src/access/authenticator.js';
import { handshakeOf } from './handshake.fixture.js';

describe('ClaimsAuthorizer', () => {
  const authorizer = new ClaimsAuthorizer();

  test.each<[string, readonly string[] | undefined, boolean]>([
    ['no claim', undefined, true],
    ['an empty one', [], false],
    ['the key', ['meter/5'], true],
    ['the type', ['meter/*'], true],
    ['another key', ['meter/50'], false],
    ['another type', ['mete/5'], false],
    ['what only looks like a wildcard', ['*/*'], false],
    ['everything', ['*'], false],
  ])('connects to meter/5 with %s: %j', async (_what, keys, may) => {
    const principal: Principal = { userName: 'ann', ...(keys === undefined ? {} : { keys }) };
    expect(await authorizer.mayConnect(principal, handshakeOf())).toBe(may);
    expect(await authorizer.mayConnect(principal, { ...handshakeOf(), gateway: 'alarm', parameters: {} })).toBe(true);
  });

  test('sees a whole type only where the claim is for it', () => {
    expect(authorizer.maySee({ keys: ['meter/5'] }, 'meter', undefined)).toBe(false);
    expect(authorizer.maySee({ keys: ['meter/*'] }, 'meter', undefined)).toBe(true);
    expect(authorizer.maySee({}, 'meter', undefined)).toBe(true);
  });

  test('hears its organisation and what is below', () => {
    expect(authorizer.mayHear({ orgId: 'acme' }, 'acme/plant1')).toBe(true);
    expect(authorizer.mayHear({ orgId: 'acme' }, 'acme2')).toBe(false);
    expect(authorizer.mayHear({ orgId: 'acme/plant1' }, 'acme')).toBe(false);
    expect(authorizer.mayHear({}, 'acme')).toBe(false);
  });
});

class Saying extends PushAuthorizer {
  constructor(private readonly answer: () => unknown) {
    super();
  }

  mayConnect(): boolean | Promise<boolean> {
    return this.answer() as boolean | Promise<boolean>;
  }

  maySee(): boolean {
    return this.answer() as boolean;
  }

  mayHear(): boolean {
    return this.answer() as boolean;
  }
}

const throwing = (cause: unknown) => (): never => {
  throw cause;
};

describe('GuardedAuthorizer', () => {
  test.each<[string, () => unknown, boolean]>([
    ['true', () => true, true],
    ['false', () => false, false],
    ['nothing', () => undefined, false],
    ['a promise of true', () => Promise.resolve(true), false],
    ['a word', () => 'yes', false],
    ['one', () => 1, false],
    ['throws', throwing(new Error('no')), false],
    ['throws what is no error', throwing(undefined), false],
    ['a promise that rejects', () => Promise.reject(new Error('no')), false],
  ])('where it is asked while data are pushed, only a plain true counts: %s', (_what, answer, expected) => {
    const guarded = new GuardedAuthorizer(new Saying(answer), () => {});
    expect(guarded.maySee({}, 'meter', '5')).toBe(expected);
    expect(guarded.mayHear({}, 'acme')).toBe(expected);
  });

  test('the first failure is reported, not one for every client and datum', async () => {
    const reported: unknown[] = [];
    const cause = new Error('no');
    const guarded = new GuardedAuthorizer(new Saying(throwing(cause)), (error) => reported.push(error));
    for (let n = 0; n < 3; n++) guarded.maySee({}, 'meter', '5');
    guarded.mayHear({}, 'acme');
    expect(reported).toEqual([cause]);
    const later = new GuardedAuthorizer(new Saying(() => Promise.reject(cause)), (error) => reported.push(error));
    later.maySee({}, 'meter', '5');
    await Promise.resolve();
    expect(reported).toEqual([cause, cause]);
  });

  test('before the upgrade it may think, and throw', async () => {
    const later = new GuardedAuthorizer(new Saying(() => Promise.resolve(true)), () => {});
    expect(await later.mayConnect({}, handshakeOf())).toBe(true);
    const broken = new GuardedAuthorizer(new Saying(throwing(new Error('no'))), () => {});
    expect(() => broken.mayConnect({}, handshakeOf())).toThrow('no');
  });
});

describe('an injectable of the application', () => {
  test('is looked for when it is needed, and asked everything', async () => {
    let made = 0;
    const existing = new ExistingAuthorizer(() => {
      made += 1;
      return new ClaimsAuthorizer();
    });
    expect(made).toBe(0);
    const principal = { keys: ['meter/5'], orgId: 'acme' };
    expect(await existing.mayConnect(principal, handshakeOf())).toBe(true);
    expect(existing.maySee(principal, 'meter', '6')).toBe(false);
    expect(existing.mayHear(principal, 'acme/plant1')).toBe(true);
    expect(made).toBe(3);
  });

  test('refreshes only where the application’s does', async () => {
    class Plain extends Authenticator {
      authenticate(): Principal {
        return { userName: 'ann' };
      }
    }
    class Refreshing extends Plain {
      override refresh(token: string): Principal {
        return { userName: token };
      }
    }
    expect(await new ExistingAuthenticator(() => new Plain()).authenticate(handshakeOf())).toEqual({ userName: 'ann' });
    expect(await new ExistingAuthenticator(() => new Refreshing()).refresh('bob', {})).toEqual({ userName: 'bob' });
    expect(() => new ExistingAuthenticator(() => new Plain()).refresh('bob', {})).toThrow(/connect again/);
  });
});
