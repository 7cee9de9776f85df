import { once } from 'node:events';
import { access, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, jest, test } from '@jest/globals';
import { type WebSocket, WebSocketServer } from 'ws';
import { JwtAuthenticator } from '../../src/index.js';
import { type CloseCode, CloseCodes } from '../../src/protocol/close-codes.js';
import { parseCursor } from '../../src/protocol/cursor.js';
import { PUSH_V1, serverMessage } from '../../src/protocol/messages.js';
import type { PushModuleOptions } from '../../src/push.options.js';
import { until, untilAsync, within } from '../support/deadline.js';
import { codeBlocks, section, textOf } from '../support/documents.js';
import { freePort } from '../support/free.port.js';
import { gatewayOn, type TestGateway } from '../support/gateway.fixture.js';
import { LoggedProcess } from '../support/logged.process.js';
import { describeWith } from '../support/programs.js';
import { PYTHON } from '../support/python.js';
import { RestartingGateway } from '../support/restarting.gateway.js';
import { TEST_SECRET } from '../support/tokens.js';

jest.setTimeout(60_000);

const PROGRAM = 'alarms.py';
const PLACE = 'place.txt';
const [program = ''] = codeBlocks(section(textOf('docs/CLIENTS.md'), '### Python'), 'python');

let folder: string;
const scriptedServers = new Set<WebSocketServer>();

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'documented-clients-'));
  await writeFile(join(folder, PROGRAM), program);
});

afterEach(async () => {
  for (const server of scriptedServers) server.close();
  scriptedServers.clear();
  await rm(folder, { recursive: true, force: true });
});

const follow = (port: number) => LoggedProcess.run(PYTHON, [PROGRAM, `ws://127.0.0.1:${port}`, PLACE], folder);
const place = () => readFile(join(folder, PLACE), 'utf8');
const isPlaceThere = () =>
  access(join(folder, PLACE)).then(
    () => true,
    () => false,
  );

function start(options: PushModuleOptions = {}): Promise<TestGateway> {
  return gatewayOn('express').withOptions(options).start();
}

const push = async ({ push: service }: TestGateway, message: string) =>
  (await service.pushAlarm({ businessId: 'm-7', severity: 700, message })).cursor;

async function connected(gateway: TestGateway): Promise<string> {
  await until(() => gateway.alarms.count() === 1, 'it is connected', 15_000);
  return gateway.alarms.clients()[0]?.clientId ?? '';
}

/** The seconds that it says that it waits, for this reason. */
async function delayOf(follower: LoggedProcess, reason: string): Promise<number> {
  const line = new RegExp(`^${reason}, again in ([\\d.]+) s$`);
  await follower.logged(line);
  return Number(line.exec(follower.having(line)[0] ?? '')?.[1]);
}

/** A server that says what the test has it say: a gateway sends no mark and falls not silent to order. */
async function scripted(onConnected: (socket: WebSocket) => void): Promise<{ port: number }> {
  const server = new WebSocketServer({ port: 0, host: '127.0.0.1', handleProtocols: () => PUSH_V1 });
  scriptedServers.add(server);
  server.on('connection', onConnected);
  await once(server, 'listening');
  return { port: (server.address() as AddressInfo).port };
}

const READY = { clientId: 'c', cursor: 'epoch.0', resumed: false };

function cases(): void {
  test('1. connects on push.v1, the first time with the last alarms', async () => {
    const gateway = await start();
    await push(gateway, 'of before');
    await follow(gateway.port).logged(/^alarm 700 of before$/);
    expect(gateway.alarms.clients()).toMatchObject([{ wireFormat: 'push.v1' }]);
  });

  test('2. stores the cursor of ready', async () => {
    const gateway = await start();
    follow(gateway.port);
    await untilAsync(isPlaceThere, 'a place is stored');
    expect(parseCursor(await place())).toMatchObject({ offset: 0 });
  });

  test('3. returns a mark as it came, behind the alarm before it', async () => {
    const returned: string[] = [];
    const server = await scripted((socket) => {
      socket.on('message', (text) => returned.push(String(text)));
      socket.send(serverMessage('ready', { ...READY, heartbeatMs: 25_000 }));
      socket.send(serverMessage('alarm', { severity: 700, message: 'first' }, { id: 'epoch.1' }));
      socket.send('a text that the application broadcasts');
      socket.send('{"event":"mark","data":{"n":57}}');
    });
    const follower = follow(server.port);
    await until(() => returned.length > 0, 'the mark comes back', 15_000);
    expect(returned).toEqual(['{"event":"mark","data":{"n":57}}']);
    expect(await place()).toBe('epoch.1');
    await follower.logged(/^alarm 700 first$/);
  });

  test('4. stores the id of each alarm and heartbeat, and goes on there', async () => {
    const server = await RestartingGateway.start((builder) =>
      builder.withOptions({ alarmLogPath: join(folder, 'log'), heartbeatIntervalMs: 100, heartbeatTimeoutMs: 30_000 }),
    );
    let follower = follow(server.port);
    await connected(server.current);
    const cursor = await push(server.current, 'one');
    await follower.logged(/^alarm 700 one$/);
    await untilAsync(async () => (await place()) === cursor, 'its place is stored');
    await rm(join(folder, PLACE));
    await untilAsync(isPlaceThere, 'the place of a heartbeat is stored');
    expect(await place()).toBe(cursor);

    await server.stop();
    await server.start();
    const second = await push(server.current, 'two');
    await follower.logged(/^alarm 700 two$/);
    await untilAsync(async () => (await place()) === second, 'the place of the second is stored');
    follower.kill('SIGKILL');
    await follower.exited;
    await push(server.current, 'three');
    follower = follow(server.port);
    await follower.logged(/^alarm 700 three$/);
    expect(follower.having(/^alarm/)).toHaveLength(1);
    await follower.end();
    await server.stop();
  });

  test('5. tells of a gap, and goes on', async () => {
    const gateway = await start();
    await writeFile(join(folder, PLACE), 'anotherEpoch.5');
    const follower = follow(gateway.port);
    await follower.logged(/^alarms are missing: epoch$/);
    const cursor = await push(gateway, 'after it');
    await follower.logged(/^alarm 700 after it$/);
    await untilAsync(async () => (await place()) === cursor, 'its place is stored');
    expect(follower.having(/missing/)).toHaveLength(1);
  });

  test('6. comes back when a drain says', async () => {
    const gateway = await start();
    const follower = follow(gateway.port);
    const clientId = await connected(gateway);
    // As a node sends it of which many clients leave.
    gateway.alarms.broadcast(serverMessage('drain', { retryAfterMs: 4000 }));
    gateway.alarms.disconnect(clientId, CloseCodes.drain.code, CloseCodes.drain.reason);
    const delay = await delayOf(follower, 'closed with 1012');
    expect(delay).toBeGreaterThan(1);
    expect(delay).toBeLessThanOrEqual(4);
  });

  const closes = Object.values<CloseCode>(CloseCodes);

  test.each(closes.filter(({ advice }) => advice === 'stop'))('7. ends after $code', async ({ code, reason }) => {
    const gateway = await start();
    const follower = follow(gateway.port);
    gateway.alarms.disconnect(await connected(gateway), code, reason);
    expect(await within(follower.exited, 'it ends')).toBe(1);
    expect(follower.lines).toEqual([`stopped: closed with ${code}`]);
  });

  test.each(closes.filter(({ advice }) => advice === 'retry' || advice === 'refresh'))(
    '7. comes back after $code',
    async ({ code, reason }) => {
      const gateway = await start();
      const follower = follow(gateway.port);
      gateway.alarms.disconnect(await connected(gateway), code, reason);
      expect(await delayOf(follower, `closed with ${code}`)).toBeLessThanOrEqual(1);
      expect(await connected(gateway)).not.toBe('');
    },
  );

  test('7. begins with the longest delay after 4429', async () => {
    const delays: number[] = [];
    // A random part of 15 s is under 1 s four times in a row once in 50,000 runs.
    while (delays.length < 4 && Math.max(...delays) < 1) {
      // One of its own: the follower before may have come back until it was ended.
      const gateway = await start();
      const follower = follow(gateway.port);
      gateway.alarms.disconnect(await connected(gateway), CloseCodes.flood.code, CloseCodes.flood.reason);
      delays.push(await delayOf(follower, 'closed with 4429'));
      await follower.end();
    }
    expect(Math.max(...delays)).toBeGreaterThan(1);
    expect(Math.max(...delays)).toBeLessThanOrEqual(15);
  });

  test('8. asks why it was refused, and ends where that would not change', async () => {
    const gateway = await start();
    await writeFile(join(folder, PLACE), 'nonsense');
    const follower = follow(gateway.port);
    expect(await within(follower.exited, 'it ends')).toBe(1);
    expect(follower.lines).toEqual(['stopped: parameter']);
  });

  test('8. asks for another token once', async () => {
    const gateway = await start({ authenticator: new JwtAuthenticator({ secret: TEST_SECRET }) });
    const follower = follow(gateway.port);
    expect(await within(follower.exited, 'it ends')).toBe(1);
    expect(follower.lines).toEqual([expect.stringMatching(/^tokenMissing, again/), 'stopped: tokenMissing']);
  });

  test('8. waits for Retry-After', async () => {
    const gateway = await start({ maxConnections: 1 });
    await gateway.connect('/ws/rowdata/meter/m-7/ann');
    expect(await delayOf(follow(gateway.port), 'full')).toBeGreaterThanOrEqual(5);
  });

  test('8. tries again where nobody answers', async () => {
    const follower = follow(await freePort());
    await follower.logged(/^no connection, again in/, 2);
    expect(follower.having(/^stopped/)).toEqual([]);
  });

  test('9. leaves a connection on which nothing is heard', async () => {
    let connections = 0;
    const server = await scripted((socket) => {
      connections += 1;
      socket.send(serverMessage('ready', { ...READY, heartbeatMs: 200 }));
    });
    const follower = follow(server.port);
    await follower.logged(/^closed with 1006, again in/, 2);
    expect(connections).toBeGreaterThan(1);
  });
}

describeWith('python3-websockets', 'the Python program of CLIENTS.md', cases);
