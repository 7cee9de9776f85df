import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from '@jest/globals';
import { CompiledApp } from '../support/compiled.app.js';
import { within } from '../support/deadline.js';
import { freePort } from '../support/free.port.js';
import { gatewayOn } from '../support/gateway.fixture.js';
import { LoggedProcess } from '../support/logged.process.js';
import { documentedRights } from '../support/redis.rights.js';
import { describeWithRedis, RedisServer } from '../support/redis.server.js';
import { TEST_CERTIFICATE } from '../support/tls.certificate.js';

const LISTENING = /listening on (http:\/\/127\.0\.0\.1:\d+)/;

describeWithRedis('a node on a Redis as hosts offer it: TLS, a user of few rights, and no CONFIG', () => {
  let app: CompiledApp;
  let folder: string;
  let redis: RedisServer;
  let environment: Record<string, string>;

  beforeAll(async () => (app = await CompiledApp.compile()), 60_000);
  afterAll(() => app.remove());

  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'push-hosted-'));
    const [certificate, key] = [join(folder, 'cert.pem'), join(folder, 'key.pem')];
    await writeFile(certificate, TEST_CERTIFICATE.cert);
    await writeFile(key, TEST_CERTIFICATE.key);
    const tlsPort = String(await freePort());
    const settings = {
      'tls-port': tlsPort,
      'tls-cert-file': certificate,
      'tls-key-file': key,
      'tls-auth-clients': 'no',
      'rename-command': ['CONFIG', ''],
    };
    redis = await RedisServer.start({ settings });
    await redis.addUser(
      '{push}:*',
      documentedRights().filter((right) => !right.startsWith('+config')),
    );
    const url = `rediss://node:secret@127.0.0.1:${tlsPort}`;
    environment = {
      PORT: '0',
      HOST: '127.0.0.1',
      PUSH_DEMO: 'false',
      PUSH_REDIS_URL: url,
      PUSH_REQUIRE_DURABLE_REDIS: 'true',
      NODE_EXTRA_CA_CERTS: certificate,
    };
  });

  afterEach(async () => {
    await redis.stop();
    await rm(folder, { recursive: true });
  });

  test('works with others', async () => {
    const other = await gatewayOn('express').withOptions({ redisUrl: redis.url }).start();
    const rawData = await other.connect('/ws/rowdata/dev/1/ann');
    const alarms = await other.connect('/ws/alarm');
    const node = LoggedProcess.node(app.main, app.folder, environment);
    await node.logged(LISTENING);
    const [, url = ''] = LISTENING.exec(node.having(LISTENING)[0] ?? '') ?? [];
    const post = async (path: string, body: object) => {
      const headers = { 'Content-Type': 'application/json' };
      const answer = await fetch(`${url}${path}`, { method: 'POST', headers, body: JSON.stringify(body) });
      return answer.status;
    };
    expect(await post('/push/raw-data', { businessType: 'dev', businessId: '1', value: 7 })).toBe(202);
    expect(JSON.parse(await rawData.next())).toMatchObject({ value: 7 });
    expect(await post('/push/alarms', { businessId: '1', n: 1 })).toBe(201);
    expect(JSON.parse(await alarms.next())).toMatchObject({ n: 1 });
    const health = await (await fetch(`${url}/health/ready`)).json();
    expect(health).toMatchObject({ status: 'ok', alarmLog: { durable: true }, redis: {} });
    expect(node.having(/WARN|ERROR/)).toEqual([]);
    await other.close();
  }, 60_000);

  test('does not start where nobody says that the certificate can be trusted, and says why', async () => {
    const { NODE_EXTRA_CA_CERTS: _, ...untrusting } = environment;
    const node = LoggedProcess.node(app.main, app.folder, untrusting);
    expect(await within(node.exited, 'it ends', 30_000)).toBe(1);
    expect(node.lines.join('\n')).toMatch(/was not reached in time: self-signed certificate/);
  }, 60_000);
});
