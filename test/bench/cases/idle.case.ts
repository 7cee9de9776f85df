import { sleep } from '../clock.js';
import { type Contender, ours, oursPushV1, type ServerKind } from '../contenders.js';
import { Load, startServer } from '../pair.js';
import { atMost } from '../report.js';
import { median, medianRatio } from '../statistics.js';
import type { BenchCase } from './bench.case.js';

/** Held from the start, not counted: they fill what the heap had room for, and have warmed the code up. */
const FIRST_CONNECTIONS = 1000;
/** From so many addresses, as from so many machines. */
const SOURCE_ADDRESSES = 9;
const SETTLING_MS = 1500;
const ROUNDS = 3;

const bareWs = idler('bare ws', 'bare-ws');
const plainGateway = idler('Nest gateway on WsAdapter', 'ws-adapter');

export const idle: BenchCase = {
  name: 'idle',
  title: 'idle: resident memory of a connection without traffic',
  async run(settings) {
    const connections = settings.isQuick ? 2000 : 9000;
    const contenders = [ours, oursPushV1, bareWs, plainGateway];
    const bytes = new Map<Contender, number[]>(contenders.map((contender) => [contender, []]));
    for (let round = 0; round < (settings.isQuick ? 1 : ROUNDS); round++) {
      for (const [contender, ofContender] of bytes) {
        ofContender.push(await measure(contender, connections));
      }
    }
    const of = (contender: Contender) => bytes.get(contender) ?? [];
    return {
      rows: contenders.map((contender) => ({
        contender: contender.name,
        values: {
          connections,
          'RSS bytes a connection': median(of(contender)),
          lowest: Math.min(...of(contender)),
          highest: Math.max(...of(contender)),
        },
      })),
      bars: [
        atMost('RSS of ours to bare ws', medianRatio(of(ours), of(bareWs)), 1.5, ' ×'),
        atMost('RSS of ours to a Nest gateway', medianRatio(of(ours), of(plainGateway)), 1, ' ×'),
      ],
      notes: [],
    };
  },
};

/** In a new process each time: what a process has once grown to it keeps. */
async function measure(contender: Contender, connections: number): Promise<number> {
  const server = startServer(contender);
  const listening = await server.call('listen', contender.server);
  if ('skipped' in listening) throw new Error(listening.skipped);
  const load = new Load();
  const settledRss = async () => {
    await sleep(SETTLING_MS);
    await server.call('collectGarbage', undefined);
    return server.call('rssBytes', undefined);
  };
  const connect = (clients: number) =>
    load.connect(contender, listening.port, { clients, sourceAddresses: SOURCE_ADDRESSES });
  await connect(FIRST_CONNECTIONS);
  const before = await settledRss();
  const counted = connections - FIRST_CONNECTIONS;
  await connect(counted);
  const after = await settledRss();
  const connected = await server.call('clientCount', undefined);
  await Promise.all([server.end(), load.child.end()]);
  if (connected !== connections) throw new Error(`${contender.name} holds ${connected} of ${connections} connections`);
  return (after - before) / counted;
}

function idler(name: string, kind: ServerKind): Contender {
  return { name, server: { kind }, dialect: 'plain' };
}
