import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { request } from 'node:https';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { startNode, type TestNode } from '../app/node.fixture.js';
import { within } from '../support/deadline.js';
import { PushClient } from '../support/push.client.js';
import { TEST_CERTIFICATE } from '../support/tls.certificate.js';

const { cert: ca, key } = TEST_CERTIFICATE;
const PATH = '/ws/rowdata/meter/5/ann';

let folder: string;
let files: { PUSH_TLS_CERT: string; PUSH_TLS_KEY: string };
const clients: PushClient[] = [];

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'tls-node-'));
  files = { PUSH_TLS_CERT: join(folder, 'cert.pem'), PUSH_TLS_KEY: join(folder, 'key.pem') };
  await writeFile(files.PUSH_TLS_CERT, ca);
  await writeFile(files.PUSH_TLS_KEY, key);
});

afterEach(async () => {
  await Promise.all(clients.splice(0).map((client) => client.cut()));
  await rm(folder, { recursive: true });
});

async function connect(node: TestNode, headers: Record<string, string> = {}): Promise<PushClient> {
  const client = await PushClient.connectPushV1(`wss://127.0.0.1:${node.port}${PATH}`, { ca, headers });
  clients.push(client);
  return client;
}

function send(node: TestNode, path: string, body?: unknown): Promise<{ status: number | undefined; text: string }> {
  const answer = new Promise<{ status: number | undefined; text: string }>((resolve, reject) => {
    const options = { port: node.port, host: '127.0.0.1', path, ca, agent: false };
    const headers = body === undefined ? {} : { 'Content-Type': 'application/json' };
    const sent = request({ ...options, method: body === undefined ? 'GET' : 'POST', headers }, (response) => {
      let text = '';
      response.on('data', (chunk: Buffer) => (text += chunk.toString()));
      response.on('end', () => resolve({ status: response.statusCode, text }));
    });
    sent.on('error', reject);
    sent.end(body === undefined ? undefined : JSON.stringify(body));
  });
  return within(answer, `an answer to ${path}`);
}

describe('a node with PUSH_TLS_CERT and PUSH_TLS_KEY', () => {
  test('pushes over wss what comes in over https', async () => {
    const node = await startNode(files);
    const client = await connect(node);
    const datum = { businessType: 'meter', businessId: '5', value: 7 };
    expect(await send(node, '/push/raw-data', datum)).toMatchObject({ status: 202 });
    expect(await client.nextEvent('rawData')).toEqual({ event: 'rawData', data: datum });
    expect((await send(node, '/health/ready')).status).toBe(200);
    expect((await send(node, PATH)).status).toBe(426);
  });

  test('its own pages are those of https', async () => {
    const node = await startNode(files);
    await connect(node, { Origin: `https://127.0.0.1:${node.port}` });
    await expect(connect(node, { Origin: `http://127.0.0.1:${node.port}` })).rejects.toThrow('403');
  });

  test('speaks no plain HTTP, and shows no certificate that nobody trusts', async () => {
    const node = await startNode(files);
    await expect(PushClient.connect(`ws://127.0.0.1:${node.port}${PATH}`)).rejects.toThrow(
      /hang up|ECONNRESET|not opened/,
    );
    await expect(PushClient.connect(`wss://127.0.0.1:${node.port}${PATH}`)).rejects.toThrow(/self-signed|certificate/);
  });

  test.each(['PUSH_TLS_CERT', 'PUSH_TLS_KEY'])('a %s that is not there stops the start, and is named', async (name) => {
    const missing = join(folder, 'missing.pem');
    await expect(startNode({ ...files, [name]: missing })).rejects.toThrow(missing);
  });

  test('a file that is no key stops the start, and the key is not told', async () => {
    await writeFile(files.PUSH_TLS_KEY, key.slice(0, 100));
    const cause = await startNode(files).then(String, (error: Error) => error);
    expect(cause).toMatchObject({ message: expect.not.stringContaining(key.slice(30, 60)) });
  });
});
