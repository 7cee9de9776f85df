import { type NodesPlan, Nodes, type Stack, type StackRound } from '../nodes.js';
import { atLeast, atMost } from '../report.js';
import { median, medianRatio } from '../statistics.js';
import type { BenchCase } from './bench.case.js';
import { ONE_KEY } from './tick.entry.js';

const PLAN: NodesPlan = { content: ONE_KEY, dataPerTick: 20, ticksInFlight: 50, clients: 1 };

const ours: Stack = { name: 'ours', kind: 'ours', dialect: 'plain', hasBystander: true };
const publishEach: Stack = {
  name: 'one PUBLISH a datum',
  kind: 'publish-each',
  dialect: 'plain',
  hasBystander: false,
};
const socketIo: Stack = {
  name: 'Socket.IO, Redis adapter',
  kind: 'socket.io',
  dialect: 'socket.io',
  hasBystander: false,
};

/** Two nodes and one Redis: as much as goes through, with several ticks on their way. */
export const cluster: BenchCase = {
  name: 'cluster',
  title: `cluster: ${PLAN.dataPerTick} data of 200 bytes a tick, pushed on one node, to ${PLAN.clients} client of another`,
  async run(settings) {
    const { rounds, roundMs } = settings;
    const stacks: { nodes: Nodes; rounds: StackRound[] }[] = [];
    for (const stack of [ours, publishEach, socketIo]) {
      const nodes = await Nodes.start(stack, PLAN);
      // Code that has not run yet costs double.
      await nodes.measure(roundMs);
      await nodes.profile(settings);
      stacks.push({ nodes, rounds: [] });
    }
    for (let round = 0; round < rounds; round++) {
      for (const { nodes, rounds: measured } of stacks) measured.push(await nodes.measure(roundMs));
    }
    await Promise.all(stacks.map(({ nodes }) => nodes.end()));
    const [ofOurs = [], ofEach = [], ofSocketIo = []] = stacks.map(({ rounds: measured }) => measured);
    return {
      rows: stacks.map(({ nodes, rounds: measured }) => ({
        contender: nodes.stack.name,
        values: {
          'data/s': median(perSecond(measured)),
          'sender CPU µs/datum': median(measured.map(({ senderMicrosPerDatum }) => senderMicrosPerDatum)),
          'receiver CPU µs/datum': median(measured.map(({ receiverMicrosPerDatum }) => receiverMicrosPerDatum)),
          'Redis CPU µs/datum': median(measured.map(({ redisMicrosPerDatum }) => redisMicrosPerDatum)),
          'client CPU µs/datum': median(measured.map(({ loadMicrosPerDatum }) => loadMicrosPerDatum)),
          'age p99 ms': median(measured.map(({ ageP99Ms }) => ageP99Ms)),
        },
      })),
      bars: [
        atLeast('data/s to one PUBLISH a datum', medianRatio(perSecond(ofOurs), perSecond(ofEach)), 3, ' ×'),
        atLeast('data/s to Socket.IO', medianRatio(perSecond(ofOurs), perSecond(ofSocketIo)), 3, ' ×'),
        atMost(
          'CPU of a node that is not interested to one that is',
          median(ofOurs.map(({ bystanderShare = NaN }) => bystanderShare)),
          0.02,
          ' ×',
        ),
      ],
      notes: [],
    };
  },
};

function perSecond(rounds: readonly StackRound[]): number[] {
  return rounds.map(({ dataPerSecond }) => dataPerSecond);
}
