import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { seeded } from '../support/random.js';
import { killAll } from './fault.process.js';
import { type FaultReport, FaultRun } from './fault.run.js';
import { print, skipLoudly } from './print.js';
import { Programs } from './programs.js';
import { SmallDisk } from './small.disk.js';

const CLIENTS = 200;
const HOUR_MS = 3_600_000;
const DISK_BYTES = 4 * 1024 * 1024;

let programs: Programs;
beforeAll(async () => (programs = await Programs.compile()), 120_000);
afterAll(() => {
  killAll();
  programs.remove();
});

const NO_LOSS = { verdicts: [], gaps: 0, isSubstantial: true };

/** Where nothing was removed no gap is told either. */
function lossIn({ verdicts, gaps, accepted, deliveries }: FaultReport): typeof NO_LOSS | object {
  return { verdicts, gaps, isSubstantial: accepted > 500 && deliveries > 5 * accepted };
}

describe('accepted alarms are delivered, in order', () => {
  test(
    'through 20 times kill -9 of the gateway, some of them while it starts',
    seeded(async (random) => {
      const report = await FaultRun.during({ programs, random, clients: CLIENTS }, async (run) => {
        for (let kill = 0; kill < 20; kill++) {
          await run.accepted(1 + random.below(150));
          await run.killGateway();
          if (kill % 5 === 4) await run.killWhileStarting(random.below(1500));
          await run.startGateway();
        }
        await run.accepted(100);
      });
      print('kill -9', report);
      expect(lossIn(report)).toEqual(NO_LOSS);
    }),
  );

  test(
    "through 20 resets of every client's socket, while clients fall behind all the time",
    seeded(async (random) => {
      const options = { programs, random, clients: CLIENTS, maxUnacked: 20, gateway: { inFlightBytes: 2048 } };
      const report = await FaultRun.during(options, async (run) => {
        await run.resetClients(20, 500);
        await run.accepted(100);
      });
      expect(report.connections).toBeGreaterThan(20 * CLIENTS);
      print('resets', report);
      expect(lossIn(report)).toEqual(NO_LOSS);
    }),
  );

  test(
    'to 50 clients that were stopped for 20 s',
    seeded(async (random) => {
      const report = await FaultRun.during({ programs, random, clients: CLIENTS - 50, stoppable: 50 }, async (run) => {
        await run.accepted(100);
        run.note('SIGSTOP of 50 clients for 20 s');
        run.stoppable.signal('SIGSTOP');
        await sleep(20_000);
        run.stoppable.signal('SIGCONT');
        await run.accepted(100);
      });
      print('stopped clients', report);
      expect(lossIn(report)).toEqual(NO_LOSS);
    }),
  );

  test(
    'or a gap is told to clients that the retention overtook while they were stopped, or while the gateway was down',
    seeded(async (random) => {
      const gateway = { alarmRetention: 400 };
      const options = { programs, random, clients: 50, stoppable: 50, alarmsPerSecond: 300, gateway };
      const report = await FaultRun.during(options, async (run) => {
        await run.accepted(100);
        for (let stop = 0; stop < 3; stop++) {
          run.note('SIGSTOP of 50 clients');
          run.stoppable.signal('SIGSTOP');
          await run.accepted(1500);
          if (stop === 1) {
            await run.killGateway();
            await run.startGateway();
            await run.accepted(600);
          }
          run.stoppable.signal('SIGCONT');
          await run.accepted(300);
        }
      });
      print('told gaps', report);
      expect(report.verdicts).toEqual([]);
      expect(report.gaps).toBeGreaterThan(20);
    }),
  );

  test(
    'through a full disk',
    seeded(async (random) => {
      const disk = await SmallDisk.mount(DISK_BYTES);
      if (!(disk instanceof SmallDisk)) {
        skipLoudly(`a full disk, since nothing can be mounted here (${disk.why})`);
        return;
      }
      try {
        const options = { programs, random, clients: 50, alarmLogPath: join(disk.path, 'log') };
        const report = await FaultRun.during(options, async (run) => {
          for (let fill = 0; fill < 4; fill++) {
            await run.accepted(50 + random.below(100));
            run.note('the disk is full');
            disk.fill();
            await run.refused(20);
            if (fill === 2) await run.killGateway();
            disk.free();
            run.note('the disk is free');
            if (fill === 2) await run.startGateway();
            await run.accepted(50);
          }
        });
        print('full disk', report);
        expect(lossIn(report)).toEqual(NO_LOSS);
      } finally {
        await disk.unmount();
      }
    }),
  );

  test(
    'through a clock that is set back, before a start and while the gateway runs',
    seeded(async (random) => {
      const options = { programs, random, clients: 50, gateway: { alarmRetentionHours: 2 } };
      const report = await FaultRun.during(options, async (run) => {
        for (const shiftMs of [-HOUR_MS, 0, -24 * HOUR_MS, HOUR_MS, -HOUR_MS]) {
          await run.accepted(80);
          await run.shiftClock(shiftMs);
          await run.accepted(80);
          await run.killGateway();
          await run.startGateway();
        }
        await run.accepted(50);
      });
      print('clock', report);
      expect(lossIn(report)).toEqual(NO_LOSS);
    }),
  );
});
