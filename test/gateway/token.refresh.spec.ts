import { afterEach, beforeEach, describe, expect, jest, test } from '@jest/globals';
import { AuthenticationError, Authenticator } from '../../src/access/authenticator.js';
import type { Principal } from '../../src/access/principal.js';
import { MemoryRevocations } from '../../src/access/memory.revocations.js';
import { InProcessCluster } from '../../src/bus/in-process.cluster.js';
import type { Client } from '../../src/fan-out/client.js';
import type { Frame } from '../../src/fan-out/frame.js';
import { TokenRefresh } from '../../src/gateway/token.refresh.js';
import { resolvePushOptions } from '../../src/push.options.js';
import { Session, Sessions } from '../../src/registry/sessions.js';
import { LogCapture } from '../support/log.capture.js';
import { signToken } from '../support/tokens.js';

type Refresh = (token: string, current: Principal) => Principal | Promise<Principal>;

class Refreshing extends Authenticator {
  constructor(private readonly answer: Refresh) {
    super();
  }

  authenticate(): Principal {
    return {};
  }

  override refresh(token: string, current: Principal): Principal | Promise<Principal> {
    return this.answer(token, current);
  }
}

const ANN: Principal = { userName: 'ann', keys: ['meter/*'] };
const throwing = (cause: unknown) => (): never => {
  throw cause;
};

let log: LogCapture;

beforeEach(() => {
  log = LogCapture.start();
});

afterEach(() => {
  log.stop();
  jest.useRealTimers();
});

interface Answer {
  readonly event: string;
  readonly ref?: unknown;
  readonly data: { readonly code?: string; readonly message?: string };
}

/** One client, and what it is answered. */
function connect(answer: Refresh, current = ANN) {
  const revocations = new MemoryRevocations(3_600_000);
  const sessions = new Sessions(resolvePushOptions({}), revocations, new InProcessCluster(), Date.now);
  const refresh = new TokenRefresh(new Refreshing(answer), revocations, sessions);
  const answers: Answer[] = [];
  const client = {
    state: 'open',
    offer: ({ plainText }: Frame) => answers.push(JSON.parse(plainText) as Answer),
    close: () => {},
  } as unknown as Client;
  const session = new Session(current);
  sessions.open(client, session);
  let refreshed = 0;
  const auth = (token: string, ref?: string) => refresh.refresh(client, token, ref, () => (refreshed += 1));
  return { auth, answers, session, revocations, sessions, client, refreshed: () => refreshed };
}

/** What is ready to happen has happened. */
async function settle(): Promise<void> {
  for (let n = 0; n < 10; n++) await Promise.resolve();
}

describe('a fresh token', () => {
  test('replaces the principal, and then what it may see is looked at', async () => {
    const fresh = { userName: 'ann', keys: ['pump/*'] };
    const asked: unknown[] = [];
    const { auth, session, answers, refreshed } = connect((...given) => {
      asked.push(given);
      return Promise.resolve(fresh);
    });
    auth('t2');
    expect(session.principal).toBe(ANN);
    await settle();
    expect(asked).toEqual([['t2', ANN]]);
    expect(session.principal).toBe(fresh);
    expect(refreshed()).toBe(1);
    expect(answers).toEqual([]);
  });

  test.each<[string, Principal, Principal]>([
    ['another user’s', ANN, { userName: 'bob' }],
    ['nobody’s', ANN, {}],
    ['somebody’s, of an anonymous connection', { isAnonymous: true }, { userName: 'ann' }],
  ])('that is %s is not taken', async (_whose, current, fresh) => {
    const { auth, session, answers, refreshed } = connect(() => fresh, current);
    auth('t2', 'r1');
    await settle();
    expect(session.principal).toBe(current);
    expect(refreshed()).toBe(0);
    expect(answers).toEqual([
      {
        event: 'exception',
        ref: 'r1',
        data: { code: 'authentication', message: expect.stringContaining('another user') },
      },
    ]);
  });

  test('that was revoked is not taken', async () => {
    const { auth, session, answers, revocations } = connect(() => ({ userName: 'ann', tokenId: 't2' }));
    revocations.add({ tokenId: 't2' });
    auth('t2');
    await settle();
    expect(session.principal).toBe(ANN);
    expect(answers).toMatchObject([{ data: { code: 'authentication', message: 'the token was revoked' } }]);
  });

  test('that is revoked while it is looked at is not taken', async () => {
    let make: ((principal: Principal) => void) | undefined;
    const { auth, session, revocations, answers } = connect(
      () => new Promise<Principal>((resolve) => (make = resolve)),
    );
    auth('t2');
    await settle();
    revocations.add({ tokenId: 't2' });
    make?.({ userName: 'ann', tokenId: 't2' });
    await settle();
    expect(session.principal).toBe(ANN);
    expect(answers).toMatchObject([{ data: { message: 'the token was revoked' } }]);
  });

  test.each<[string, Refresh]>([
    ['at once', throwing(new AuthenticationError('tokenExpired', 'the token has expired'))],
    ['later', () => Promise.reject(new AuthenticationError('tokenExpired', 'the token has expired'))],
  ])('that is refused %s: the connection goes on with the one before', async (_when, answer) => {
    const { auth, session, answers } = connect(answer);
    auth('t2', 'r');
    await settle();
    expect(session.principal).toBe(ANN);
    expect(answers).toEqual([
      { event: 'exception', ref: 'r', data: { code: 'authentication', message: 'the token has expired' } },
    ]);
    expect(log.lines).toEqual([]);
  });

  test('where none is taken: the connection is told to be made anew', async () => {
    class Plain extends Authenticator {
      authenticate(): Principal {
        return {};
      }
    }
    const plain = new Plain();
    const { auth, answers } = connect((token, current) => plain.refresh(token, current));
    auth('t2');
    await settle();
    expect(answers).toMatchObject([{ data: { message: expect.stringContaining('connect again') } }]);
  });

  test('an authenticator that fails is logged without the token, and the client is told nothing of it', async () => {
    const token = await signToken({ sub: 'ann' });
    const { auth, answers } = connect(throwing(new Error(`no row for ${token}`)));
    auth(token);
    await settle();
    expect(log.lines).toMatchObject([{ level: 'error', message: expect.stringContaining('no row for [token]') }]);
    expect(log.text).not.toContain(token.split('.')[1]);
    expect(JSON.stringify(answers)).not.toMatch(/row/);
    expect(answers).toMatchObject([{ data: { message: expect.stringContaining('not available now') } }]);
  });

  test('an authenticator that never answers is given up after 5 s, and then another token may come', async () => {
    jest.useFakeTimers();
    const { auth, answers } = connect(() => new Promise<Principal>(() => {}));
    auth('t2', 'a');
    await jest.advanceTimersByTimeAsync(4999);
    expect(answers).toEqual([]);
    await jest.advanceTimersByTimeAsync(1);
    expect(answers).toMatchObject([{ ref: 'a', data: { message: expect.stringContaining('not available now') } }]);
    auth('t3', 'b');
    await jest.advanceTimersByTimeAsync(5000);
    expect(answers).toMatchObject([
      { ref: 'a' },
      { ref: 'b', data: { message: expect.stringContaining('not available') } },
    ]);
  });

  test('one at a time', async () => {
    jest.useFakeTimers();
    let asked = 0;
    const { auth, answers } = connect(() => {
      asked += 1;
      return new Promise<Principal>(() => {});
    });
    for (const ref of ['a', 'b', 'c']) auth('t', ref);
    await settle();
    expect(asked).toBe(1);
    expect(answers).toMatchObject([
      { ref: 'b', data: { code: 'authentication' } },
      { ref: 'c', data: { code: 'authentication' } },
    ]);
    await jest.advanceTimersByTimeAsync(5000);
    expect(jest.getTimerCount()).toBe(0);
  });

  test('of a client that is gone does nothing', async () => {
    let asked = 0;
    const { auth, sessions, client, answers } = connect(() => {
      asked += 1;
      return ANN;
    });
    sessions.close(client);
    auth('t2');
    await settle();
    expect(asked).toBe(0);
    expect(answers).toEqual([]);
  });
});
