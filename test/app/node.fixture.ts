import { request } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach } from '@jest/globals';
import type { NestExpressApplication } from '@nestjs/platform-express';
import { createApp } from '../../src/app/app.factory.js';
import { ClientLibrary } from '../../src/app/demo/client.library.js';
import { validateEnvironment } from '../../src/app/environment.js';
import { AppModule } from '../../src/app.module.js';
import { clientModules } from '../support/client.modules.js';
import { within } from '../support/deadline.js';

export interface Answer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  // The tests say what they expect in it.
  readonly body: unknown;
}

export interface Sending {
  readonly method?: string;
  readonly headers?: Readonly<Record<string, string>>;
  /** An object or an array is sent as JSON, text as it is. */
  readonly body?: unknown;
}

const running = new Set<TestNode>();

afterEach(async () => {
  await Promise.all([...running].map((node) => node.close()));
});

/** Starts the node on a free port, with these variables as its whole environment. Ends with the test. */
export async function startNode(variables: Readonly<Record<string, string>> = {}): Promise<TestNode> {
  const app = await createTestApp({ PUSH_DEMO: 'false', PUSH_ALARM_LOG_PATH: '', ...variables });
  const node = new TestNode(app);
  running.add(node);
  await app.listen(0, '127.0.0.1');
  return node;
}

/** The node, not yet listening, with the client library of the sources: there need be no build. */
export async function createTestApp(variables: Readonly<Record<string, string>>): Promise<NestExpressApplication> {
  const environment = validateEnvironment({ PUSH_DOCS: 'false', ...variables });
  const { providers = [], ...root } = AppModule.register(environment);
  const library = { provide: ClientLibrary, useValue: { modules: await clientModules() } };
  return createApp(environment, false, { ...root, providers: [...providers, library] });
}

export class TestNode {
  constructor(readonly app: NestExpressApplication) {}

  get port(): number {
    return (this.app.getHttpServer().address() as AddressInfo).port;
  }

  /** As text, so that a Host, an Origin or an Expect can be sent as no browser would. */
  send(path: string, { method = 'GET', headers = {}, body }: Sending = {}): Promise<Answer> {
    const text = body === undefined || typeof body === 'string' ? body : JSON.stringify(body);
    const contentType = typeof body === 'object' ? { 'Content-Type': 'application/json' } : {};
    const options = { port: this.port, host: '127.0.0.1', path, method, headers: { ...contentType, ...headers } };
    const answer = new Promise<Answer>((resolve, reject) => {
      const sent = request({ ...options, agent: false }, (response) => {
        const chunks: Buffer[] = [];
        response.on('data', (chunk: Buffer) => chunks.push(chunk));
        response.on('end', () => {
          const received = Buffer.concat(chunks).toString();
          const isJson = response.headers['content-type']?.startsWith('application/json') === true;
          const { statusCode: status = 0, headers: answered } = response;
          resolve({ status, headers: answered, body: isJson ? (JSON.parse(received) as unknown) : received });
        });
      });
      sent.on('error', reject);
      sent.end(text);
    });
    return within(answer, `an answer to ${method} ${path}`);
  }

  post(path: string, body: unknown, headers?: Readonly<Record<string, string>>): Promise<Answer> {
    return this.send(path, { method: 'POST', body, ...(headers === undefined ? {} : { headers }) });
  }

  async close(): Promise<void> {
    running.delete(this);
    await within(this.app.close(), 'the node closes', 15_000);
  }
}
