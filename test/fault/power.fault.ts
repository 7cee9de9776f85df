import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { type Random, seeded } from '../support/random.js';
import { check, type CheckReport } from './checker.js';
import { DurableShim } from './durable.shim.js';
import { FaultProcess, killAll } from './fault.process.js';
import type { ClientEvent, ProducerEvent } from './history.js';
import { readHistory } from './history.file.js';
import { PoweredFolder, type Survival } from './power.cut.js';
import { skipLoudly } from './print.js';
import type { LogApi, LogContent } from './programs/log.api.js';
import { Programs } from './programs.js';

const ROUNDS = 30;
/** Small, so that pages are trimmed and used again all the time. */
const RETENTION = 300;
const MAX_DELAY_US = 3000;
const MAX_LIFE_MS = 400;

let programs: Programs;
let shim: DurableShim | { readonly why: string };
beforeAll(async () => {
  programs = await Programs.compile();
  shim = await DurableShim.compile();
}, 120_000);
afterAll(() => {
  killAll();
  programs.remove();
  if (shim instanceof DurableShim) shim.remove();
});

interface Cuts {
  readonly folder: PoweredFolder;
  readonly history: string;
  readonly random: Random;
  readonly acknowledgesEarly: boolean;
}

/** Appends until the power is cut, opens what is left, and compares it with what was accepted. */
async function cutOnce(cuts: Cuts, shimmed: DurableShim, round: number): Promise<CheckReport> {
  const { folder, history, random, acknowledgesEarly } = cuts;
  const environment = shimmed.environment(folder.file, folder.durableFile, random.below(MAX_DELAY_US));
  const appending = new FaultProcess<LogApi>(programs.file('log'), 'the log that loses its power', environment);
  const order = {
    alarmLogPath: folder.log,
    retention: RETENTION,
    history,
    round,
    acknowledgesEarly,
    seed: random.below(2 ** 32),
  };
  const started = appending.call('append', order);
  // Now and then in the midst of its start.
  const isEarly = random.chance(0.15);
  if (isEarly) started.catch(() => undefined);
  else await started;
  await sleep(random.below(isEarly ? 600 : MAX_LIFE_MS));
  await appending.kill();
  folder.cut(random.pick<Survival>(['nothing', 'nothing', 'some pages', 'everything']), random);
  const content = await readLog(folder);
  folder.settle();
  expect(content.setAside).toBeUndefined();
  expect(content.oldest).toBe(Math.max(1, content.newest - RETENTION + 1));
  const producer = existsSync(history) ? readHistory<ProducerEvent>(history) : [];
  return check(producer, [{ profile: { name: 'what is left', orgId: '*' }, events: readingOf(content) }]);
}

async function readLog({ log }: PoweredFolder): Promise<LogContent> {
  const reading = new FaultProcess<LogApi>(programs.file('log'), 'the log after the power cut');
  try {
    return await reading.call('read', { alarmLogPath: log, retention: RETENTION });
  } finally {
    await reading.kill();
  }
}

/** As a client would have it that reads all there is. */
function readingOf({ epoch, oldest, alarms }: LogContent): ClientEvent[] {
  const start = `${epoch}.0`;
  return [
    { type: 'connected', ready: start, resumed: false },
    ...(oldest > 1
      ? [{ type: 'gap', requested: start, oldest: `${epoch}.${oldest}`, reason: 'retention' } as const]
      : []),
    ...alarms.map(({ offset, content }) => ({ type: 'delivered', id: `${epoch}.${offset}`, content }) as const),
  ];
}

async function inFolder(body: (folder: string) => Promise<void>): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), 'push-gateway-power-'));
  try {
    await body(folder);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

describe('a power cut', () => {
  test(
    `${ROUNDS} of them lose no accepted alarm, and the log always opens`,
    seeded(async (random) => {
      if (!(shim instanceof DurableShim)) {
        skipLoudly(`a power cut, ${shim.why}`);
        return;
      }
      const shimmed = shim;
      await inFolder(async (path) => {
        const folder = new PoweredFolder(path);
        const cuts = { folder, history: join(path, 'history'), random, acknowledgesEarly: false };
        let accepted = 0;
        for (let round = 0; round < ROUNDS; round++) {
          const report = await cutOnce(cuts, shimmed, round);
          expect({ round, verdicts: report.verdicts }).toEqual({ round, verdicts: [] });
          accepted = report.accepted;
        }
        process.stdout.write(`power cuts: ${ROUNDS}, accepted ${accepted}\n`);
        expect(accepted).toBeGreaterThan(RETENTION);
      });
    }),
  );

  test(
    'finds out a log that accepts alarms before they are stored',
    seeded(async (random) => {
      if (!(shim instanceof DurableShim)) {
        skipLoudly(`a power cut, ${shim.why}`);
        return;
      }
      const shimmed = shim;
      await inFolder(async (path) => {
        const folder = new PoweredFolder(path);
        const cuts = { folder, history: join(path, 'history'), random, acknowledgesEarly: true };
        const kinds = new Set<string>();
        for (let round = 0; round < ROUNDS && !kinds.has('absent'); round++) {
          const { verdicts } = await cutOnce(cuts, shimmed, round);
          for (const { kind } of verdicts) kinds.add(kind);
        }
        expect([...kinds]).toContain('absent');
      });
    }),
  );
});
