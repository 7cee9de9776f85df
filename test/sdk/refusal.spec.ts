import { afterEach, beforeEach, describe, expect, jest, test } from '@jest/globals';
import { connectRawData, type PushClientError, type RawDataConnection, type StateChange } from '../../src/sdk/index.js';
import { forgeToken, secondsFromNow } from '../support/tokens.js';
import { FakeNetwork } from './fake.socket.js';

const ADDRESS = { base: 'https://push.test', businessType: 'meter', businessId: '7', userName: 'ann' };

let network: FakeNetwork;
let connection: RawDataConnection;
let states: StateChange[];
let errors: PushClientError[];
let fetched: jest.SpiedFunction<typeof fetch>;

beforeEach(() => {
  jest.useFakeTimers();
  jest.spyOn(Math, 'random').mockReturnValue(1);
  network = new FakeNetwork();
  states = [];
  errors = [];
  fetched = jest.spyOn(globalThis, 'fetch').mockRejectedValue(new TypeError('Failed to fetch'));
});

afterEach(() => {
  connection.close();
  jest.useRealTimers();
  jest.restoreAllMocks();
});

const settle = () => jest.advanceTimersByTimeAsync(0);

function answerWith(status: number, error: string, headers: Record<string, string> = {}): void {
  const message = `in the server's words: ${error}`;
  fetched.mockImplementation(() =>
    Promise.resolve(new Response(JSON.stringify({ statusCode: status, error, message }), { status, headers })),
  );
}

async function connect(options: Partial<Parameters<typeof connectRawData>[0]> = {}): Promise<void> {
  connection = connectRawData({ ...ADDRESS, WebSocket: network.WebSocket, ...options });
  connection.on('state', (change) => states.push(change));
  connection.on('error', (error) => errors.push(error));
  await settle();
}

/** A browser is told no more than this of a refused upgrade. */
async function refuse(): Promise<void> {
  network.last.end(1006);
  await settle();
}

describe('after an upgrade that failed, the path is asked why', () => {
  test.each([
    [400, 'parameter'],
    [403, 'forbiddenKey'],
    [404, 'path'],
    [414, 'url'],
    [431, 'headers'],
  ])('%i stops, with the words of the server', async (status, error) => {
    await connect({ snapshot: true });
    answerWith(status, error);
    await refuse();
    expect(fetched.mock.calls[0]?.[0]).toBe('https://push.test/ws/rowdata/meter/7/ann?snapshot=true');
    expect(connection.state).toBe('stopped');
    expect(errors).toMatchObject([
      { fault: 'stopped', status, code: error, message: `in the server's words: ${error}` },
    ]);
    expect(states.at(-1)).toMatchObject({ reason: `in the server's words: ${error}`, error: errors[0] });
  });

  test.each([
    [429, 'rateLimit', '5', 6000],
    [503, 'unavailable', '1', 2000],
    [503, 'alarmLog', undefined, 1000],
    [502, 'badGateway', 'soon', 1000],
  ])('%i %s, Retry-After %s: backs off', async (status, error, retryAfter, delayMs) => {
    await connect();
    answerWith(status, error, retryAfter === undefined ? {} : { 'Retry-After': retryAfter });
    await refuse();
    expect(states.at(-1)).toMatchObject({
      state: 'waiting',
      reason: `in the server's words: ${error}`,
      retryInMs: delayMs,
    });
    await jest.advanceTimersByTimeAsync(delayMs);
    expect(network.sockets).toHaveLength(2);
  });

  test('426: it would be let in, so it tries again', async () => {
    await connect();
    answerWith(426, 'upgradeRequired');
    await refuse();
    expect(states.at(-1)).toMatchObject({ state: 'waiting', reason: 'no connection', retryInMs: 1000 });
  });

  test('no answer, as of a server that is away or of another origin: backs off, more each time', async () => {
    await connect();
    for (const retryInMs of [1000, 2000, 4000, 8000, 15_000, 15_000]) {
      await refuse();
      expect(states.at(-1)).toMatchObject({ state: 'waiting', reason: 'no connection', retryInMs });
      await jest.advanceTimersByTimeAsync(retryInMs);
    }
    expect(errors).toEqual([]);
  });

  test('a page of a proxy in the place of an answer', async () => {
    await connect();
    fetched.mockImplementation(() => Promise.resolve(new Response('<h1>Forbidden</h1>', { status: 403 })));
    await refuse();
    expect(states.at(-1)).toMatchObject({ state: 'waiting', reason: 'the server answers 403' });
  });

  test('an answer that does not come is given up', async () => {
    await connect({ connectTimeoutMs: 3000 });
    fetched.mockImplementation(
      (_url, init) =>
        new Promise((_resolve, reject) => init?.signal?.addEventListener('abort', () => reject(new Error('aborted')))),
    );
    await refuse();
    await jest.advanceTimersByTimeAsync(2999);
    expect(states.at(-1)?.retryInMs).toBeUndefined();
    await jest.advanceTimersByTimeAsync(1);
    expect(states.at(-1)).toMatchObject({ state: 'waiting', retryInMs: 1000 });
  });

  test('an answer that comes when an attempt was made already does not count', async () => {
    await connect();
    let answer: ((response: Response) => void) | undefined;
    fetched.mockImplementation(() => new Promise((resolve) => (answer = resolve)));
    await refuse();
    connection.retryNow();
    await settle();
    network.last.greet();
    answer?.(new Response('{"error":"forbiddenKey","message":"no"}', { status: 403 }));
    await settle();
    expect(connection.state).toBe('open');
  });

  test('one that was open is not asked', async () => {
    await connect();
    network.last.greet();
    await refuse();
    network.last.open();
    expect(fetched).not.toHaveBeenCalled();
  });
});

/** Its payload holds a letter that is not ASCII. */
function tokenFor(seconds: number): string {
  return forgeToken({ alg: 'HS256' }, { sub: 'ann', exp: secondsFromNow(seconds), name: 'é' }, 's');
}

function callback(...tokens: string[]): jest.Mock<() => Promise<string>> {
  return jest.fn(() => Promise.resolve(tokens.shift() ?? 'the last one'));
}

describe('tokens', () => {
  test('go beside push.v1, and with the question why', async () => {
    await connect({ token: 'abc.def.ghi' });
    expect(network.last.protocols).toEqual(['push.v1', 'bearer.abc.def.ghi']);
    await refuse();
    expect(fetched.mock.calls[0]?.[1]?.headers).toMatchObject({ Authorization: 'Bearer abc.def.ghi' });
  });

  test('401 fetches another one; where that is not taken either, the user has to sign in', async () => {
    const token = callback('first', 'second');
    await connect({ token });
    answerWith(401, 'tokenExpired');
    await refuse();
    await jest.advanceTimersByTimeAsync(1000);
    expect(network.last.protocols).toEqual(['push.v1', 'bearer.second']);
    await refuse();
    expect(connection.state).toBe('stopped');
    expect(errors).toMatchObject([{ fault: 'stopped', status: 401, code: 'tokenExpired' }]);
    expect(token).toHaveBeenCalledTimes(2);
  });

  test('401 stops where there is no other token to be had', async () => {
    await connect({ token: 'the only one' });
    answerWith(401, 'tokenInvalid');
    await refuse();
    expect(errors).toMatchObject([{ status: 401, code: 'tokenInvalid' }]);
  });

  test('where nobody can say why, another one is fetched, but not for each attempt', async () => {
    const token = callback(...Array.from({ length: 20 }, (_, n) => `${n}`));
    await connect({ token });
    const used: unknown[] = [];
    for (let attempt = 0; attempt < 12; attempt++) {
      used.push(network.last.protocols[1]);
      await refuse();
      await jest.advanceTimersByTimeAsync(15_000);
    }
    expect(used.map((protocol) => String(protocol).split('.')[1]).join(' ')).toBe('0 0 1 1 1 1 1 1 1 1 2 2');
  });

  test('4401 fetches another one; one that was let in counts anew', async () => {
    const token = callback('1', '2', '3', '4');
    await connect({ token });
    for (const next of ['2', '3', '4']) {
      network.last.greet();
      network.last.end(4401, 'token expired');
      await jest.advanceTimersByTimeAsync(1000);
      expect(network.last.protocols[1]).toBe(`bearer.${next}`);
    }
  });

  test('a token is kept over reconnects, until it has ended', async () => {
    const token = callback(tokenFor(600), tokenFor(1200));
    await connect({ token });
    network.last.greet();
    network.last.end(1012);
    await jest.advanceTimersByTimeAsync(1000);
    expect(token).toHaveBeenCalledTimes(1);
    network.last.end(1012);
    jest.setSystemTime(Date.now() + 601_000);
    await jest.advanceTimersByTimeAsync(2000);
    expect(token).toHaveBeenCalledTimes(2);
  });

  test('half a minute before its end a fresh one is sent over the open connection', async () => {
    const tokens = [tokenFor(300), tokenFor(600), tokenFor(900)];
    await connect({ token: callback(...tokens) });
    network.last.greet({ heartbeatMs: 0 });
    await jest.advanceTimersByTimeAsync(269_000);
    expect(network.last.sent()).toEqual([]);
    await jest.advanceTimersByTimeAsync(1000);
    const [auth] = network.last.sent();
    expect(auth).toEqual({ event: 'auth', ref: expect.any(Number), data: { token: tokens[1] } });
    network.last.receive('subscribed', { keys: [], refused: [] }, { ref: auth?.ref ?? 0 });
    await jest.advanceTimersByTimeAsync(300_000);
    expect(network.last.sent()).toMatchObject([{ event: 'auth', data: { token: tokens[2] } }]);
    network.last.end(1012);
    await jest.advanceTimersByTimeAsync(600_000);
    expect(errors).toEqual([]);
  });

  test('one that is not taken, and a callback that fails, are told and tried again', async () => {
    const token = jest.fn<() => Promise<string>>().mockResolvedValueOnce(tokenFor(60));
    await connect({ token });
    network.last.greet();
    token
      .mockRejectedValueOnce(new Error('the issuer is away'))
      .mockResolvedValueOnce('refused')
      .mockResolvedValue('good');
    await jest.advanceTimersByTimeAsync(30_000);
    expect(errors).toMatchObject([{ fault: 'token', message: 'no token or ticket: the issuer is away' }]);
    await jest.advanceTimersByTimeAsync(5000);
    const [refused] = network.last.sent();
    network.last.receive('exception', { code: 'authentication', message: 'not valid' }, { ref: refused?.ref ?? 0 });
    expect(errors[1]).toMatchObject({ fault: 'token', code: 'authentication', message: 'not valid' });
    await jest.advanceTimersByTimeAsync(5000);
    expect(network.last.sent()).toMatchObject([{ event: 'auth', data: { token: 'good' } }]);
    expect(connection.state).toBe('open');
  });

  test('a callback that fails at first is asked again', async () => {
    const token = jest.fn<() => Promise<string>>().mockRejectedValueOnce(new Error('away')).mockResolvedValue('t');
    await connect({ token });
    expect([connection.state, network.sockets.length]).toEqual(['waiting', 0]);
    expect(errors).toMatchObject([{ fault: 'token' }]);
    await jest.advanceTimersByTimeAsync(1000);
    expect(network.last.protocols[1]).toBe('bearer.t');
  });

  test('the same token over and over, one without an end, and one of a clock that differs do not hurry', async () => {
    for (const each of [tokenFor(20), 'no JWT', 'a.b.c', tokenFor(-3600)]) {
      const token = callback(...Array.from({ length: 30 }, () => each));
      await connect({ token });
      network.last.greet({ heartbeatMs: 0 });
      await jest.advanceTimersByTimeAsync(20_000);
      expect(token.mock.calls.length).toBeLessThan(20);
      connection.close();
    }
  });

  test('a ticket is fetched for each attempt, and for the question why', async () => {
    const ticket = callback('t1', 't2', 't3');
    await connect({ ticket });
    expect([network.last.url, network.last.protocols]).toEqual([
      'wss://push.test/ws/rowdata/meter/7/ann?ticket=t1',
      ['push.v1'],
    ]);
    answerWith(401, 'tokenExpired');
    await refuse();
    expect(fetched.mock.calls[0]?.[0]).toContain('?ticket=t2');
    await jest.advanceTimersByTimeAsync(1000);
    expect(network.last.url).toContain('?ticket=t3');
    network.last.greet();
    network.last.end(4401, 'token expired');
    expect(connection.state).toBe('waiting');
  });
});
