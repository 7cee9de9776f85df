import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { setTimeout as sleep } from 'node:timers/promises';
import { seeded } from '../support/random.js';
import { describeWithRedis } from '../support/redis.server.js';
import { killAll } from './fault.process.js';
import { type NodesReport, NodesRun } from './nodes.run.js';
import { print } from './print.js';
import { Programs } from './programs.js';

const NODES = 3;
const CLIENTS = 150;

let programs: Programs;
beforeAll(async () => (programs = await Programs.compile()), 120_000);
afterAll(() => {
  killAll();
  programs.remove();
});

const NO_LOSS = { verdicts: [], gaps: 0, setbacks: 0, isSubstantial: true };

function lossIn({ verdicts, gaps, setbacks, accepted, deliveries }: NodesReport): typeof NO_LOSS | object {
  return { verdicts, gaps, setbacks, isSubstantial: accepted > 300 && deliveries > 5 * accepted };
}

describeWithRedis('several nodes deliver what they accepted, in order', () => {
  test(
    'through 10 times kill -9 of Redis, with an append-only file',
    seeded(async (random) => {
      const report = await NodesRun.during({ programs, random, clients: CLIENTS, count: NODES }, async (nodes) => {
        for (let kill = 0; kill < 10; kill++) {
          await nodes.run.accepted(1 + random.below(80));
          nodes.run.note('kill -9 of Redis');
          await nodes.redis.kill();
          await nodes.red();
          await nodes.redis.restart();
          await nodes.green();
          await nodes.fresh();
        }
        await nodes.run.accepted(100);
      });
      print('Redis, kill -9', report);
      expect(lossIn(report)).toEqual(NO_LOSS);
    }),
  );

  test(
    'through 50 times CLIENT KILL of what is subscribed, and some of everything',
    seeded(async (random) => {
      const report = await NodesRun.during({ programs, random, clients: CLIENTS, count: NODES }, async (nodes) => {
        for (let kill = 0; kill < 50; kill++) {
          nodes.run.note('CLIENT KILL');
          await nodes.redis.command('CLIENT', 'KILL', 'TYPE', 'pubsub');
          if (kill % 10 === 9) await nodes.redis.command('CLIENT', 'KILL', 'TYPE', 'normal');
          await nodes.run.accepted(1 + random.below(15));
          if (kill % 5 === 4) await nodes.fresh();
        }
        await nodes.green();
        await nodes.run.accepted(100);
      });
      print('CLIENT KILL', report);
      expect(lossIn(report)).toEqual(NO_LOSS);
    }),
  );

  test(
    'through pauses of Redis and through a Redis that is alive and silent',
    seeded(async (random) => {
      const report = await NodesRun.during({ programs, random, clients: CLIENTS, count: NODES }, async (nodes) => {
        for (let pause = 0; pause < 3; pause++) {
          await nodes.run.accepted(100);
          nodes.run.note('CLIENT PAUSE of 5 s');
          await nodes.redis.command('CLIENT', 'PAUSE', '5000', 'ALL');
          await sleep(5000);
          await nodes.green();
          await nodes.fresh();
        }
        await nodes.run.accepted(50);
        nodes.run.note('SIGSTOP of Redis');
        nodes.redis.signal('SIGSTOP');
        await nodes.red();
        nodes.redis.signal('SIGCONT');
        await nodes.green();
        await nodes.fresh();
        await nodes.run.accepted(100);
      });
      print('pauses', report);
      expect(lossIn(report)).toEqual(NO_LOSS);
    }),
  );

  test(
    'through subscribers whose output buffer is cut',
    seeded(async (random) => {
      const report = await NodesRun.during({ programs, random, clients: CLIENTS, count: NODES }, async (nodes) => {
        await nodes.redis.command('CONFIG', 'SET', 'client-output-buffer-limit', 'pubsub 65536 0 0');
        for (let cut = 0; cut < 5; cut++) {
          await nodes.run.accepted(50);
          nodes.run.note('SIGSTOP of a node, until Redis cuts its subscriber');
          const node = cut % NODES;
          nodes.run.gateways.signal(node, 'SIGSTOP');
          await nodes.untilCut(node);
          nodes.run.gateways.signal(node, 'SIGCONT');
          await nodes.green();
          await nodes.fresh();
        }
        await nodes.run.accepted(100);
      });
      print('output buffer', report);
      expect(lossIn(report)).toEqual(NO_LOSS);
    }),
  );

  test(
    'or a gap is told, through FLUSHALL and a Redis that comes back with nothing',
    seeded(async (random) => {
      const report = await NodesRun.during({ programs, random, clients: CLIENTS, count: NODES }, async (nodes) => {
        for (let loss = 0; loss < 4; loss++) {
          await nodes.run.accepted(100 + random.below(50));
          if (loss % 2 === 0) {
            nodes.run.note('FLUSHALL');
            await nodes.redis.command('FLUSHALL');
          } else {
            nodes.run.note('Redis comes back with nothing');
            await nodes.redis.kill();
            nodes.redis.forget();
            await nodes.redis.restart();
          }
          await nodes.green();
          await nodes.fresh();
        }
        await nodes.run.accepted(150);
      });
      print('FLUSHALL', report);
      expect({ verdicts: report.verdicts, setbacks: report.setbacks }).toEqual({ verdicts: [], setbacks: 0 });
      expect(report.gaps).toBeGreaterThan(CLIENTS);
    }),
  );

  test(
    'through 20 times kill -9 of a node, whose clients go to another',
    seeded(async (random) => {
      const report = await NodesRun.during({ programs, random, clients: CLIENTS, count: NODES }, async (nodes) => {
        for (let kill = 0; kill < 20; kill++) {
          const node = random.below(NODES);
          await nodes.run.accepted(1 + random.below(60));
          await nodes.run.killGateway(node);
          await nodes.run.accepted(1 + random.below(30));
          await nodes.run.startGateway(node);
        }
        await nodes.green();
        await nodes.run.accepted(100);
      });
      print('kill -9 of nodes', report);
      expect(lossIn(report)).toEqual(NO_LOSS);
    }),
  );

  test(
    'through a rolling restart, twice around',
    seeded(async (random) => {
      const report = await NodesRun.during({ programs, random, clients: CLIENTS, count: NODES }, async (nodes) => {
        for (let restart = 0; restart < 2 * NODES; restart++) {
          await nodes.run.accepted(60);
          nodes.run.note('a node shuts down');
          await nodes.run.gateways.shutDown(restart % NODES);
          await nodes.run.startGateway(restart % NODES);
          await nodes.green();
        }
        await nodes.run.accepted(100);
      });
      print('rolling restart', report);
      expect(lossIn(report)).toEqual(NO_LOSS);
    }),
  );
});
