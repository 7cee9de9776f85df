// Appends to the alarm log in ALARM_LOG_PATH until it is killed, and says of each alarm when it was accepted.
import { writeSync } from 'node:fs';
import { LmdbAlarmLog } from '../../src/alarm-log/lmdb.alarm-log.js';

const RETENTION = { count: 100_000, hours: 1, bytes: 100_000_000 };
const CALLERS = 16;

const log = await LmdbAlarmLog.open({ path: process.env.ALARM_LOG_PATH ?? '', retention: RETENTION });

async function append(caller: number): Promise<never> {
  for (let n = 1; ; n++) {
    const eventId = `${process.pid}-${caller}-${n}`;
    const fields = { businessId: '1', businessType: undefined, severity: undefined, orgId: undefined };
    const condition = { conditionId: `c${caller}`, active: true };
    const json = JSON.stringify({ eventId, text: 'x'.repeat(n % 50 === 0 ? 20_000 : 200) });
    const [receipt] = await log.append([{ json, eventId, fields: { ...fields, ...condition } }]);
    // Not buffered in this process: what it said before it was killed has been said.
    writeSync(1, `accepted ${receipt?.cursor.offset} ${eventId}\n`);
  }
}

await Promise.all(Array.from({ length: CALLERS }, (_, caller) => append(caller)));
