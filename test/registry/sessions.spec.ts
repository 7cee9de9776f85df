import { afterEach, beforeEach, describe, expect, jest, test } from '@jest/globals';
import type { Principal } from '../../src/access/principal.js';
import { MemoryRevocations } from '../../src/access/memory.revocations.js';
import type { Revocations, RevocationTarget } from '../../src/access/revocations.js';
import { InProcessCluster } from '../../src/bus/in-process.cluster.js';
import type { Cluster } from '../../src/bus/cluster.js';
import type { Client, ClientState } from '../../src/fan-out/client.js';
import { RevocationNotStoredError } from '../../src/push.errors.js';
import { type PushModuleOptions, resolvePushOptions } from '../../src/push.options.js';
import { Session, Sessions } from '../../src/registry/sessions.js';
import { turn } from '../support/deadline.js';
import { MemoryCluster } from '../support/memory.cluster.js';

/** What sessions know of a client. */
class FakeClient {
  state: ClientState = 'open';
  constructor(readonly clientId = '') {}

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
  jest.useFakeTimers({ now: NOW_MS, doNotFake: ['setImmediate', 'queueMicrotask'] });
});

afterEach(() => {
  for (const sessions of running) sessions.onApplicationShutdown();
  jest.useRealTimers();
});

function start(
  options: PushModuleOptions = {},
  cluster: Cluster = new InProcessCluster(),
  revocations: Revocations = new MemoryRevocations(3_600_000),
): Sessions {
  const sessions = new Sessions(resolvePushOptions(options), revocations, cluster, Date.now);
  sessions.onApplicationBootstrap();
  running.push(sessions);
  return sessions;
}

/** Two nodes of one cluster. */
function startTwo(): [Sessions, Sessions] {
  const cluster = new MemoryCluster();
  return [start({}, cluster), start({}, cluster.another())];
}

function open(sessions: Sessions, principal: Principal, clientId?: string): FakeClient {
  const client = new FakeClient(clientId);
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

test('credentials that end while a client drains end its connection', () => {
  const sessions = start({ tokenGraceMs: 0 });
  const draining = open(sessions, until(0));
  draining.state = 'draining';
  jest.advanceTimersByTime(2000);
  expect(draining.closes).toEqual([TOKEN]);
});

describe('disconnect', () => {
  const AWAY = { code: 4000, reason: 'away' };

  test('closes what one user has here, and counts it', () => {
    const sessions = start();
    const clients = ['ann', 'bob', 'ann', 'annabel'].map((userName) => open(sessions, { userName }));
    const anonymous = open(sessions, { isAnonymous: true });
    expect(sessions.disconnect({ userName: 'ann' }, AWAY)).toBe(2);
    expect(clients.map(({ closes }) => closes.length)).toEqual([1, 0, 1, 0]);
    expect(clients[0]?.closes).toEqual([AWAY]);
    expect(anonymous.closes).toEqual([]);
    expect(sessions.disconnect({ userName: 'ann' }, AWAY)).toBe(0);
    expect(sessions.disconnect({ userName: 'carl' }, AWAY)).toBe(0);
  });

  test('closes one connection by its clientId', () => {
    const sessions = start();
    const clients = ['c1', 'c2', ''].map((clientId) => open(sessions, { userName: 'ann' }, clientId));
    expect(sessions.disconnect({ clientId: 'c2' }, AWAY)).toBe(1);
    expect(clients.map(({ closes }) => closes)).toEqual([[], [AWAY], []]);
  });

  test('reaches the other nodes, which are not counted', async () => {
    const [here, there] = startTwo();
    const [own, other] = [open(here, { userName: 'ann' }, 'c1'), open(there, { userName: 'ann' }, 'c2')];
    const bob = open(there, { userName: 'bob' }, 'c3');
    expect(here.disconnect({ userName: 'ann' }, AWAY)).toBe(1);
    expect(here.disconnect({ clientId: 'c3' }, { code: 4001, reason: '' })).toBe(0);
    await turn();
    expect([own, other, bob].map(({ closes }) => closes)).toEqual([[AWAY], [AWAY], [{ code: 4001, reason: '' }]]);
  });
});

describe('revoke', () => {
  test('of a user ends all that is older, not what is newer', async () => {
    const sessions = start();
    const old = open(sessions, { userName: 'ann', issuedAt: new Date(NOW_MS - 1000) });
    const undated = open(sessions, { userName: 'ann' });
    const fresh = open(sessions, { userName: 'ann', issuedAt: new Date(NOW_MS + 1000) });
    const bob = open(sessions, { userName: 'bob', issuedAt: new Date(0) });
    expect(await sessions.revoke({ userName: 'ann' })).toBe(2);
    expect([old, undated, fresh, bob].map(({ closes }) => closes)).toEqual([[TOKEN], [TOKEN], [], []]);
  });

  test('of a token ends the sessions of that one', async () => {
    const sessions = start();
    const clients = ['t1', 't2', 't1'].map((tokenId) => open(sessions, { userName: 'ann', tokenId }));
    expect(await sessions.revoke({ tokenId: 't1' })).toBe(2);
    expect(clients.map(({ closes }) => closes.length)).toEqual([1, 0, 1]);
  });

  test('while an upgrade is on its way ends it as it begins', async () => {
    const sessions = start();
    await sessions.revoke({ userName: 'ann' });
    expect(open(sessions, { userName: 'ann', issuedAt: new Date(NOW_MS - 1) }).closes).toEqual([TOKEN]);
    expect(open(sessions, { userName: 'ann', issuedAt: new Date(NOW_MS + 1000) }).closes).toEqual([]);
  });

  test('that cannot be stored counts here all the same', async () => {
    class Unstored extends MemoryRevocations {
      override async add(target: RevocationTarget): Promise<void> {
        await super.add(target);
        throw new RevocationNotStoredError(new Error('away'));
      }
    }
    const sessions = start({}, undefined, new Unstored(3_600_000));
    const client = open(sessions, { userName: 'ann' });
    await expect(sessions.revoke({ userName: 'ann' })).rejects.toThrow(RevocationNotStoredError);
    expect(client.closes).toEqual([TOKEN]);
  });

  test('by another node ends the sessions here when it is learned', async () => {
    let tellLearned: (() => void) | undefined;
    class Learning extends MemoryRevocations {
      override onLearned(listener?: () => void): () => void {
        tellLearned = listener;
        return () => (tellLearned = undefined);
      }
    }
    const revocations = new Learning(3_600_000);
    const sessions = start({}, undefined, revocations);
    const [ann, bob] = [open(sessions, { userName: 'ann' }), open(sessions, { userName: 'bob' })];
    await revocations.add({ userName: 'ann' });
    tellLearned?.();
    expect([ann, bob].map(({ closes }) => closes)).toEqual([[TOKEN], []]);
    sessions.onApplicationShutdown();
    expect(tellLearned).toBeUndefined();
  });
});
