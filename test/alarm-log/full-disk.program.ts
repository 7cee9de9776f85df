// What the alarm log in ALARM_LOG_PATH, on a small disk of its own, does when that is full: one line of JSON a step.
import { rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { LmdbAlarmLog } from '../../src/alarm-log/lmdb.alarm-log.js';
import { alarmOf, RETENTION } from './lmdb.fixture.js';

const path = process.env.ALARM_LOG_PATH ?? '';
const filler = join(path, 'filler');

function say(step: string, facts: object): void {
  process.stdout.write(`${step} ${JSON.stringify(facts)}\n`);
}

/** Takes all room that the disk has. */
async function fill(): Promise<void> {
  for (;;) {
    try {
      await writeFile(filler, Buffer.alloc(4096), { flag: 'a' });
    } catch (cause) {
      if (!String(cause).includes('ENOSPC')) throw cause;
      return;
    }
  }
}

async function stateOf(log: LmdbAlarmLog) {
  const { oldest, newest } = log.bounds();
  return {
    oldest,
    newest,
    fault: log.fault ?? null,
    read: (await log.read(newest - 1, 10)).map(({ offset }) => offset),
  };
}

function large(n: number) {
  return alarmOf(n, { eventId: `e${n}`, bytes: 60_000 });
}

async function refusalOf(log: LmdbAlarmLog, alarms = [large(log.bounds().newest + 1)]): Promise<object | undefined> {
  try {
    await log.append(alarms);
    return undefined;
  } catch (cause) {
    return { ...(cause as object), message: String(cause) };
  }
}

const open = () => LmdbAlarmLog.open({ path, retention: RETENTION });

let log = await open();
await log.append([alarmOf(1), alarmOf(2)]);
await fill();
let refusal: object | undefined;
while (refusal === undefined) refusal = await refusalOf(log);
say('refused', { ...refusal, state: await stateOf(log) });

const again = await Promise.all(Array.from({ length: 5 }, (_, n) => refusalOf(log, [large(100 + n)])));
say('refused-again', { count: again.filter((each) => each !== undefined).length, state: await stateOf(log) });

await rm(filler);
const [receipt] = await log.append([large(log.bounds().newest + 1)]);
say('accepted', { offset: receipt?.cursor.offset, duplicate: receipt?.duplicate, state: await stateOf(log) });

await fill();
while ((await refusalOf(log)) === undefined) continue;
const isFaulty = log.fault !== undefined;
await rm(filler);
await log.trim();
say('trimmed', { isFaulty, fault: log.fault ?? null });

const { newest, epoch } = log.bounds();
await log.close();
await fill();
const boot = await open().then(
  () => 'opened',
  (cause: unknown) => String(cause),
);
await rm(filler);
log = await open();
say('reopened', {
  boot,
  isSame: log.bounds().newest === newest && log.bounds().epoch === epoch,
  setAside: log.setAside ?? null,
});
await log.close();
