import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { seeded } from '../support/random.js';
import { killAll } from './fault.process.js';
import { FaultRun } from './fault.run.js';
import { print } from './print.js';
import { Programs } from './programs.js';

let programs: Programs;
beforeAll(async () => (programs = await Programs.compile()), 120_000);
afterAll(() => {
  killAll();
  programs.remove();
});

test(
  'no alarm is lost, repeated in a connection or out of order through kill -9, resets and stopped clients',
  seeded(async (random) => {
    // So little that clients fall behind and catch up again and again.
    const tight = { maxUnacked: 20, gateway: { inFlightBytes: 2048 } };
    const options = { programs, random, clients: 30, stoppable: 10, deadlineMs: 90_000, ...tight };
    const report = await FaultRun.during(options, async (run) => {
      for (let kill = 0; kill < 3; kill++) {
        await run.accepted(20 + random.below(40));
        if (kill === 1) await run.resetClients(3, 50);
        await run.killGateway();
        await run.startGateway();
      }
      run.note('SIGSTOP of some clients');
      run.stoppable.signal('SIGSTOP');
      await run.accepted(120);
      run.stoppable.signal('SIGCONT');
      await run.accepted(20);
    });
    print('faults', report);
    expect(report.verdicts).toEqual([]);
    expect(report.gaps).toBe(0);
    expect(report.deliveries).toBeGreaterThan(1000);
    expect(report.accepted).toBeGreaterThan(200);
  }),
  240_000,
);
