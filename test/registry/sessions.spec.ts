import { afterEach, beforeEach, describe, expect, jest, test } from '@jest/globals';
import type { Principal } from '../../src/access/principal.js';
import { Revocations } from '../../src/access/revocations.js';
import type { Client, ClientState } from '../../src/fan-out/client.js';
import { type PushModuleOptions, resolvePushOptions } from '../../src/push.options.js';
import { Session, Sessions } from '../../src/registry/sessions.js';

/** What sessions know of a client. */
class FakeClient {
  state: ClientState = 'open';
  readonly closes: { code: number; reason: string }[] = [];

  close({ code, reason }: { code: number; reason: string }): void {
    this.closes.push({ code, reason });
    this.state = 'closing';
  }
}

const TOKEN = { code: 4401, reason: 'token expired' };
const NOW_MS = 1_700_000_000_000;

let running: Sessions[];

beforeEach(() => {
  running = [];
  jest.useFakeTimers({ now: NOW_MS });
});

afterEach(() => {
  for (const sessions of running) sessions.onApplicationShutdown();
  jest.useRealTimers();
});

function start(options: PushModuleOptions = {}): Sessions {
  const sessions = new Sessions(resolvePushOptions(options), new Revocations(3_600_000), Date.now);
  sessions.onApplicationBootstrap();
  running.push(sessions);
  return sessions;
}

function open(sessions: Sessions, principal: Principal): FakeClient {
  const client = new FakeClient();
  sessions.open(client as unknown as Client, new Session(principal));
  return client;
}

const until = (ms: number): Principal => ({ userName: 'ann', expiresAt: new Date(NOW_MS + ms) });

describe('credentials that end', () => {
  test('are outlived by the grace, then 4401', () => {
    const sessions = start({ tokenGraceMs: 10_000 });
    const client = open(sessions, until(60_000));
    jest.advanceTimersByTime(70_000);
    expect(client.closes).toEqual([]);
    jest.advanceTimersByTime(1000);
    expect(client.closes).toEqual([TOKEN]);
    jest.advanceTimersByTime(60_000);
    expect(client.closes).toHaveLength(1);
  });

  test('without grace within the second', () => {
    const sessions = start({ tokenGraceMs: 0 });
    const client = open(sessions, until(60_000));
    jest.advanceTimersByTime(60_000);
    expect(client.closes).toEqual([]);
    jest.advanceTimersByTime(1000);
    expect(client.closes).toEqual([TOKEN]);
  });

  test('never where they do not say when', () => {
    const client = open(start(), { userName: 'ann' });
    jest.advanceTimersByTime(86_400_000);
    expect(client.closes).toEqual([]);
  });

  test('fresh ones count from then on', () => {
    const sessions = start({ tokenGraceMs: 0 });
    const client = open(sessions, until(5000));
    const session = sessions.of(client as unknown as Client);
    if (session === undefined) throw new Error('there is no session');
    session.principal = until(20_000);
    jest.advanceTimersByTime(20_000);
    expect(client.closes).toEqual([]);
    jest.advanceTimersByTime(1000);
    expect(client.closes).toEqual([TOKEN]);
  });

  test('are looked at only while the application runs', () => {
    start().onApplicationShutdown();
    expect(jest.getTimerCount()).toBe(0);
  });

  test('of a client that is gone or going end nothing', () => {
    const sessions = start({ tokenGraceMs: 0 });
    const [gone, going] = [open(sessions, until(0)), open(sessions, until(0))];
    sessions.close(gone as unknown as Client);
    going.state = 'closing';
    jest.advanceTimersByTime(5000);
    expect([...gone.closes, ...going.closes]).toEqual([]);
    expect(sessions.of(gone as unknown as Client)).toBeUndefined();
  });
});

describe('disconnect', () => {
  test('closes what one user has here, and counts it', () => {
    const sessions = start();
    const clients = ['ann', 'bob', 'ann', 'annabel'].map((userName) => open(sessions, { userName }));
    const anonymous = open(sessions, { isAnonymous: true });
    expect(sessions.disconnect('ann', { code: 4000, reason: 'away' })).toBe(2);
    expect(clients.map(({ closes }) => closes.length)).toEqual([1, 0, 1, 0]);
    expect(clients[0]?.closes).toEqual([{ code: 4000, reason: 'away' }]);
    expect(anonymous.closes).toEqual([]);
    expect(sessions.disconnect('ann', { code: 4000, reason: 'away' })).toBe(0);
    expect(sessions.disconnect('carl', { code: 4000, reason: 'away' })).toBe(0);
  });
});

describe('revoke', () => {
  test('of a user ends all that is older, not what is newer', () => {
    const sessions = start();
    const old = open(sessions, { userName: 'ann', issuedAt: new Date(NOW_MS - 1000) });
    const undated = open(sessions, { userName: 'ann' });
    const fresh = open(sessions, { userName: 'ann', issuedAt: new Date(NOW_MS + 1000) });
    const bob = open(sessions, { userName: 'bob', issuedAt: new Date(0) });
    expect(sessions.revoke({ userName: 'ann' })).toBe(2);
    expect([old, undated, fresh, bob].map(({ closes }) => closes)).toEqual([[TOKEN], [TOKEN], [], []]);
  });

  test('of a token ends the sessions of that one', () => {
    const sessions = start();
    const clients = ['t1', 't2', 't1'].map((tokenId) => open(sessions, { userName: 'ann', tokenId }));
    expect(sessions.revoke({ tokenId: 't1' })).toBe(2);
    expect(clients.map(({ closes }) => closes.length)).toEqual([1, 0, 1]);
  });

  test('while an upgrade is on its way ends it as it begins', () => {
    const sessions = start();
    sessions.revoke({ userName: 'ann' });
    expect(open(sessions, { userName: 'ann', issuedAt: new Date(NOW_MS - 1) }).closes).toEqual([TOKEN]);
    expect(open(sessions, { userName: 'ann', issuedAt: new Date(NOW_MS + 1000) }).closes).toEqual([]);
  });
});
