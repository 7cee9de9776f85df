import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { get } from 'node:https';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import type { ClientOptions } from 'ws';
import { WebSocket } from 'ws';
import { PUSH_V1, type PushModuleOptions, PushOptions } from '../../src/index.js';
import { startNode } from '../app/node.fixture.js';
import { Child } from '../support/child.js';
import { until, within } from '../support/deadline.js';
import { freePort } from '../support/free.port.js';
import { gatewayOn, type TestGateway } from '../support/gateway.fixture.js';
import { describeWith } from '../support/programs.js';
import { PushClient } from '../support/push.client.js';
import { TEST_CERTIFICATE } from '../support/tls.certificate.js';

const NGINX = '/usr/sbin/nginx';
const OPERATIONS = new URL('../../docs/OPERATIONS.md', import.meta.url);

const RAW_DATA_PATH = '/ws/rowdata/dev/1/ann';
const ALARM_PATH = '/ws/alarm';
const DATUM = { businessType: 'dev', businessId: '1', value: 21.5 };
const ALARM = { businessId: '1', severity: 900, message: 'Door left open' };
const PUBLIC_HOST = 'push.example.com';
/** An address of this machine that no proxy has. */
const CLIENT_ADDRESS = '127.0.0.2';

/** The configuration, and the environment of the node behind it, as the document has them. */
function documented(): { snippet: string; trustProxy: string } {
  const [, section = ''] = readFileSync(OPERATIONS, 'utf8').split('\n## Behind a proxy\n');
  const [, snippet = ''] = /```nginx\n(.*?)```/s.exec(section) ?? [];
  const [, trustProxy = ''] = /PUSH_TRUST_PROXY=(\S+)/.exec(section) ?? [];
  return { snippet, trustProxy };
}

/** Only what has to differ on a machine that runs other tests as well; each is there exactly once. */
function replaced(text: string, replacements: Readonly<Record<string, string>>): string {
  return Object.entries(replacements).reduce((result, [from, to]) => {
    expect([from, result.split(from).length - 1]).toEqual([from, 1]);
    return result.replace(from, to);
  }, text);
}

async function accepts(port: number): Promise<boolean> {
  const socket = connect(port, '127.0.0.1');
  const isConnected = await new Promise<boolean>((resolve) => {
    socket.once('connect', () => resolve(true));
    socket.once('error', () => resolve(false));
  });
  socket.destroy();
  return isConnected;
}

interface Answer {
  readonly status: number | undefined;
  readonly error: unknown;
}

interface Answered {
  readonly statusCode?: number;
}

async function answerOf(response: AsyncIterable<Buffer> & Answered): Promise<Answer> {
  const chunks: Buffer[] = [];
  for await (const chunk of response) chunks.push(chunk);
  const { error } = JSON.parse(Buffer.concat(chunks).toString()) as { error: unknown };
  return { status: response.statusCode, error };
}

const throughNginx = (headers: Readonly<Record<string, string>> = {}): ClientOptions => ({
  ca: TEST_CERTIFICATE.cert,
  localAddress: CLIENT_ADDRESS,
  headers: { Host: PUBLIC_HOST, ...headers },
});

describeWith('nginx', 'behind nginx, as OPERATIONS.md says', () => {
  const { snippet, trustProxy } = documented();
  const clients = new Set<PushClient>();
  let folder = '';
  let port = 0;

  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'push-nginx-'));
  });

  afterEach(async () => {
    await Promise.all([...clients].map((client) => client.cut()));
    clients.clear();
    rmSync(folder, { recursive: true, force: true });
  });

  /** One process, which the fixture of children ends with the test. */
  async function startNginx(nodePort: number, changes: Readonly<Record<string, string>> = {}): Promise<void> {
    port = await freePort();
    writeFileSync(join(folder, 'cert.pem'), TEST_CERTIFICATE.cert);
    writeFileSync(join(folder, 'key.pem'), TEST_CERTIFICATE.key);
    const server = replaced(snippet, {
      'listen 443 ssl': `listen 127.0.0.1:${port} ssl`,
      '/etc/nginx/push.example.com.pem': join(folder, 'cert.pem'),
      '/etc/nginx/push.example.com.key': join(folder, 'key.pem'),
      'http://127.0.0.1:3000': `http://127.0.0.1:${nodePort}`,
      ...changes,
    });
    const paths = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map(
      (name) => `${name}_temp_path ${join(folder, name)};`,
    );
    const file = join(folder, 'nginx.conf');
    writeFileSync(
      file,
      `daemon off; master_process off; pid ${join(folder, 'pid')}; error_log ${join(folder, 'error.log')};\n` +
        `events {}\nhttp {\n${paths.join('\n')}\n${server}\n}\n`,
    );
    const nginx = Child.run(NGINX, ['-p', folder, '-c', file, '-e', join(folder, 'error.log')]);
    const ended = nginx.exited.then(({ code }) => {
      throw new Error(`nginx ended with ${code}: ${readFileSync(join(folder, 'error.log'), 'utf8')}`);
    });
    ended.catch(() => {});
    const listens = async (): Promise<void> => {
      while (!(await accepts(port)));
    };
    await within(Promise.race([listens(), ended]), 'nginx listens');
  }

  async function start(
    options: PushModuleOptions = {},
    changes: Readonly<Record<string, string>> = {},
  ): Promise<TestGateway> {
    const gateway = await gatewayOn('express')
      .withOptions({ trustProxy: [trustProxy], allowAnonymous: true, ...options })
      .start();
    await startNginx(gateway.port, changes);
    return gateway;
  }

  async function open(path: string, headers?: Readonly<Record<string, string>>): Promise<PushClient> {
    const client = await PushClient.connect(`wss://127.0.0.1:${port}${path}`, throughNginx(headers));
    clients.add(client);
    return client;
  }

  async function openPushV1(path: string, headers?: Readonly<Record<string, string>>): Promise<PushClient> {
    const client = await PushClient.connectPushV1(`wss://127.0.0.1:${port}${path}`, throughNginx(headers));
    clients.add(client);
    return client;
  }

  /** What an upgrade is refused with. */
  async function refusal(path: string, headers?: Readonly<Record<string, string>>): Promise<Answer> {
    const socket = new WebSocket(`wss://127.0.0.1:${port}${path}`, PUSH_V1, throughNginx(headers));
    socket.on('error', () => {});
    const answered = once(socket, 'unexpected-response') as Promise<[unknown, AsyncIterable<Buffer> & Answered]>;
    const [, response] = await within(answered, `a refusal of ${path}`);
    return answerOf(response);
  }

  test('its timeout is above that of the heartbeat', () => {
    const [, seconds] = /proxy_read_timeout (\d+)s;/.exec(snippet) ?? [];
    const { heartbeatTimeoutMs, heartbeatIntervalMs } = new PushOptions();
    expect(Number(seconds) * 1000).toBeGreaterThan(heartbeatTimeoutMs);
    expect(Number(seconds) * 1000).toBeGreaterThan(heartbeatIntervalMs * 1.2);
  });

  test('both gateways on both wires, each client with its own address', async () => {
    const gateway = await start();
    const raw = await open(RAW_DATA_PATH);
    const rawV1 = await openPushV1(RAW_DATA_PATH);
    const alarm = await open(ALARM_PATH);
    const alarmV1 = await openPushV1(ALARM_PATH);
    await until(() => gateway.rawData.count() === 2 && gateway.alarms.count() === 2, 'all are known');
    const known = [...gateway.rawData.clients(), ...gateway.alarms.clients()];
    expect(new Set(known.map(({ remoteAddress }) => remoteAddress))).toEqual(new Set([CLIENT_ADDRESS]));
    expect(gateway.push.pushRawData(DATUM)).toEqual({ matched: 2 });
    const { cursor } = await gateway.push.pushAlarm(ALARM);
    expect(await raw.next()).toBe(JSON.stringify(DATUM));
    expect(await alarm.next()).toBe(JSON.stringify(ALARM));
    expect(await rawV1.nextMessage()).toEqual({ event: 'rawData', data: DATUM });
    expect(await alarmV1.nextMessage()).toEqual({ event: 'alarm', id: cursor, data: ALARM });
  });

  test('an address that the client itself names does not count', async () => {
    const gateway = await start();
    await openPushV1(RAW_DATA_PATH, { 'X-Forwarded-For': '203.0.113.9', 'X-Real-IP': '203.0.113.9' });
    expect(gateway.rawData.clients().map(({ remoteAddress }) => remoteAddress)).toEqual([CLIENT_ADDRESS]);
  });

  test('a part of the path stays as it was encoded', async () => {
    const gateway = await start();
    await openPushV1('/ws/rowdata/a%2Fb/%E6%B8%A9%20%25/x%2E%2E');
    const [client] = gateway.rawData.clients();
    expect(client?.userName).toBe('x..');
    expect(client?.key).toMatch(/^websocket:rowdata:a%2Fb:%E6%B8%A9%20%25:/);
  });

  describe('pages', () => {
    test('of the public host connect, whatever its port', async () => {
      const gateway = await start();
      await openPushV1(RAW_DATA_PATH, { Origin: `https://${PUBLIC_HOST}` });
      await openPushV1(ALARM_PATH, { Host: `${PUBLIC_HOST}:8443`, Origin: `https://${PUBLIC_HOST}:8443` });
      expect([gateway.rawData.count(), gateway.alarms.count()]).toEqual([1, 1]);
    });

    test.each([
      ['a foreign origin', { Origin: 'https://evil.example' }],
      ['the public host without TLS', { Origin: `http://${PUBLIC_HOST}` }],
      ['another port', { Origin: `https://${PUBLIC_HOST}:8443` }],
      ["the node's own address", { Origin: 'http://127.0.0.1:3000' }],
      [
        'a foreign origin that forges what the proxy sets',
        { Origin: 'https://evil.example', 'X-Forwarded-Host': 'evil.example', 'X-Forwarded-Proto': 'https' },
      ],
    ])('of %s are refused', async (_, headers) => {
      const gateway = await start();
      for (const path of [RAW_DATA_PATH, ALARM_PATH]) {
        expect(await refusal(path, headers)).toEqual({ status: 403, error: 'origin' });
      }
      expect([gateway.rawData.count(), gateway.alarms.count(), gateway.placesTaken]).toEqual([0, 0, 0]);
    });
  });

  test('a refusal, and the answer to a plain GET, arrive whole', async () => {
    await start({ maxConnectionsPerIp: 1 });
    const getting = new Promise<AsyncIterable<Buffer> & Answered>((resolve, reject) => {
      const headers = { Host: PUBLIC_HOST };
      const options = { ca: TEST_CERTIFICATE.cert, servername: 'localhost', agent: false, headers };
      get(`https://127.0.0.1:${port}${ALARM_PATH}`, options, resolve).on('error', reject);
    });
    expect(await answerOf(await within(getting, 'an answer'))).toEqual({ status: 426, error: 'upgradeRequired' });
    await openPushV1(ALARM_PATH);
    expect(await refusal(ALARM_PATH)).toEqual({ status: 429, error: 'addressLimit' });
  });

  test('marks come back, and what is in flight stays within the window', async () => {
    const gateway = await start();
    const client = await openPushV1(RAW_DATA_PATH);
    const filling = 'x'.repeat(1000);
    client.socket.pause();
    for (let n = 0; n < 3000; n++) gateway.push.pushRawData({ ...DATUM, series: `s${n % 500}`, n, filling });
    await until(() => (gateway.rawData.clients()[0]?.outboxBytes ?? 0) > 0, 'it is behind');
    expect(gateway.rawData.clients()[0]?.inFlightBytes).toBeLessThan(65_536 + 2000);
    client.socket.resume();
    const newest = new Set<number>();
    while (newest.size < 500) {
      const { event, data } = await client.nextMessage();
      const n = Number(data['n']);
      if (event === 'rawData' && n >= 2500) newest.add(n);
    }
    expect(client.marks).toBeGreaterThan(3);
    await until(() => gateway.rawData.clients()[0]?.outboxBytes === 0, 'nothing waits');
  });

  test('pongs come back, so a plain client is fed beyond the window and outlives the heartbeat', async () => {
    // However slow this machine is, no pressure begins.
    const gateway = await start({ heartbeatIntervalMs: 50, heartbeatTimeoutMs: 800, conflateAfterMs: 60_000 });
    const client = await open(RAW_DATA_PATH);
    await until(() => gateway.rawData.count() === 1, 'it is known');
    const filling = 'x'.repeat(1000);
    for (let n = 0; n < 300; n++) {
      if (n % 20 === 0) await until(() => gateway.rawData.clients()[0]?.outboxBytes === 0, 'it keeps up');
      gateway.push.pushRawData({ ...DATUM, n, filling });
    }
    for (let n = 0; n < 300; n++) expect(JSON.parse(await client.next())).toMatchObject({ n });
    const pings = client.pings;
    await until(() => client.pings >= pings + 20, 'a second of pings');
    expect(gateway.rawData.count()).toBe(1);
  });

  test("a quiet connection outlives nginx's timeout by the pings alone", async () => {
    const gateway = await start({ heartbeatIntervalMs: 250 }, { 'proxy_read_timeout 75s': 'proxy_read_timeout 1s' });
    const client = await open(ALARM_PATH);
    await until(() => client.pings >= 10, 'two and a half times the timeout', 10_000);
    await gateway.push.pushAlarm(ALARM);
    expect(await client.next()).toBe(JSON.stringify(ALARM));
  });

  test('a drain: what was pushed, the close code and its reason', async () => {
    const gateway = await start();
    const raw = await openPushV1(RAW_DATA_PATH);
    const alarm = await open(ALARM_PATH);
    await until(() => gateway.rawData.count() === 1 && gateway.alarms.count() === 1, 'both are known');
    gateway.push.pushRawData(DATUM);
    await gateway.push.pushAlarm(ALARM);
    const closing = gateway.close();
    expect(await raw.nextMessage()).toEqual({ event: 'rawData', data: DATUM });
    expect(await alarm.next()).toBe(JSON.stringify(ALARM));
    const drained = { code: 1012, reason: 'server is restarting' };
    expect(await within(raw.closed, 'the close')).toEqual(drained);
    expect(await within(alarm.closed, 'the close')).toEqual(drained);
    await closing;
  });

  test('the node of npm start: nobody is this machine, and a token arrives in either header', async () => {
    const secret = 'a secret of tests, thirty-two bytes or more';
    const { SignJWT } = await import('jose');
    const token = await new SignJWT({})
      .setProtectedHeader({ alg: 'HS256' })
      .setSubject('ann')
      .setIssuedAt()
      .setExpirationTime('5m')
      .sign(new TextEncoder().encode(secret));
    const anonymous = await startNode({ PUSH_TRUST_PROXY: trustProxy });
    await startNginx(anonymous.port);
    expect(await refusal(ALARM_PATH)).toEqual({ status: 403, error: 'anonymous' });
    const node = await startNode({ PUSH_TRUST_PROXY: trustProxy, PUSH_AUTH: 'jwt', PUSH_JWT_SECRET: secret });
    await startNginx(node.port);
    expect(await refusal(RAW_DATA_PATH)).toEqual({ status: 401, error: 'tokenMissing' });
    const url = `wss://127.0.0.1:${port}${RAW_DATA_PATH}`;
    for (const client of [
      await PushClient.connectPushV1(url, throughNginx({ Authorization: `Bearer ${token}` })),
      await PushClient.connect(url, throughNginx(), [PUSH_V1, `bearer.${token}`]),
    ]) {
      clients.add(client);
      expect(client.socket.protocol).toBe(PUSH_V1);
    }
  });
});
