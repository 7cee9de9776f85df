import { posix } from 'node:path';
import { createContext, runInContext, SourceTextModule } from 'node:vm';
import { afterEach, beforeEach, expect, test } from '@jest/globals';
import type * as Client from '../../src/sdk/index.js';
import { clientModules } from '../support/client.modules.js';
import { turn } from '../support/deadline.js';
import { FakeNetwork } from './fake.socket.js';

/** What its engine Hermes 0.12 does not have. The symbol came much later. */
const WITHOUT = `
  globalThis.Symbol = { iterator: Symbol.iterator };
  for (const name of ['at', 'toReversed', 'toSorted', 'toSpliced', 'with']) delete Array.prototype[name];
  for (const name of ['at', 'isWellFormed', 'toWellFormed']) delete String.prototype[name];
  for (const name of ['allSettled', 'any']) delete Promise[name];
  delete globalThis.WeakRef;
  delete globalThis.FinalizationRegistry;
  delete globalThis.AggregateError;
  globalThis.window = globalThis;
`;

const ADDRESS = { base: 'https://push.test', businessType: 'meter', businessId: 'm-7', userName: 'ann' };
const OTHER_KEY = { businessType: 'pump', businessId: 'p-1' };

type Begin = Client.RawDataConnection[typeof Symbol.asyncIterator];

let network: FakeNetwork;
let connection: Client.RawDataConnection;

/** The library, where there is the language and what React Native gives, and neither a page nor Node. */
async function load(): Promise<typeof Client> {
  const { WebSocket } = network;
  const context = createContext({
    setTimeout,
    clearTimeout,
    console,
    WebSocket,
    navigator: { product: 'ReactNative' },
  });
  runInContext(WITHOUT, context);
  const sources = await clientModules();
  const modules = new Map<string, SourceTextModule>();
  const moduleOf = (path: string) => {
    const module = modules.get(path) ?? new SourceTextModule(sources.get(path) ?? '', { context, identifier: path });
    modules.set(path, module);
    return module;
  };
  const entry = moduleOf('sdk/index.js');
  await entry.link((specifier, { identifier }) => moduleOf(posix.join(posix.dirname(identifier), specifier)));
  await entry.evaluate();
  return entry.namespace as typeof Client;
}

beforeEach(async () => {
  network = new FakeNetwork();
  const { connectRawData } = await load();
  connection = connectRawData(ADDRESS);
  await turn();
});

afterEach(() => connection.close());

test('data are heard, and keys subscribed to', async () => {
  const heard: unknown[] = [];
  connection.on('rawData', ({ value }) => heard.push(value));
  network.last.greet();
  const answer = connection.subscribe([OTHER_KEY]);
  const [subscribe] = network.last.sent();
  network.last.receive('subscribed', { keys: [OTHER_KEY], refused: [] }, { ref: subscribe?.ref ?? 0 });
  expect(await answer).toEqual({ keys: [OTHER_KEY], refused: [] });
  network.last.receive('rawData', { ...OTHER_KEY, value: 1 });
  expect(heard).toEqual([1]);
});

test('a close without a reason has an empty one', async () => {
  const reasons: unknown[] = [];
  connection.on('close', ({ reason }) => reasons.push(reason));
  network.last.greet();
  network.last.end(1006, null);
  expect(reasons).toEqual(['']);
});

test('a loop finds the data where Babel looks for them', async () => {
  network.last.greet();
  const { '@@asyncIterator': begin } = connection as unknown as Record<string, Begin | undefined>;
  const first = begin?.call(connection).next();
  network.last.receive('rawData', { ...OTHER_KEY, value: 1 });
  expect((await first)?.value).toEqual({ ...OTHER_KEY, value: 1 });
});
