import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { seeded } from '../support/random.js';
import { describeWithRedis } from '../support/redis.server.js';
import { killAll } from './fault.process.js';
import { NodesRun } from './nodes.run.js';
import { print } from './print.js';
import { Programs } from './programs.js';

describeWithRedis('three nodes on one Redis', () => {
  let programs: Programs;
  beforeAll(async () => (programs = await Programs.compile()), 120_000);
  afterAll(() => {
    killAll();
    programs.remove();
  });

  test(
    'lose no alarm, repeat none in a connection and keep their order through the death of Redis, of nodes and of links',
    seeded(async (random) => {
      // So little that clients fall behind and catch up again and again.
      const tight = { maxUnacked: 20, gateway: { inFlightBytes: 2048 } };
      const options = { programs, random, clients: 40, count: 3, deadlineMs: 120_000, ...tight };
      const report = await NodesRun.during(options, async (nodes) => {
        const { run, redis } = nodes;
        await run.accepted(40);
        run.note('kill -9 of Redis');
        await redis.kill();
        await nodes.red();
        await redis.restart();
        await nodes.green();
        await nodes.fresh();
        await run.accepted(40);
        await run.killGateway(1);
        await run.accepted(40);
        await run.startGateway(1);
        run.note('CLIENT KILL');
        await redis.command('CLIENT', 'KILL', 'TYPE', 'pubsub');
        await redis.command('CLIENT', 'KILL', 'TYPE', 'normal');
        await run.accepted(40);
        run.note('a node shuts down');
        await run.gateways.shutDown(2);
        await run.startGateway(2);
        await nodes.green();
        await nodes.fresh();
        await run.accepted(40);
      });
      print('nodes', report);
      const { verdicts, gaps, setbacks } = report;
      expect({ verdicts, gaps, setbacks }).toEqual({ verdicts: [], gaps: 0, setbacks: 0 });
      expect(report.deliveries).toBeGreaterThan(5 * report.accepted);
    }),
    180_000,
  );
});
