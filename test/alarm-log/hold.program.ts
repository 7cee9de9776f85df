// Opens the alarm log in ALARM_LOG_PATH, says whether it could, and holds it until it is killed.
import { LmdbAlarmLog } from '../../src/alarm-log/lmdb.alarm-log.js';

const retention = { count: 1000, hours: 1, bytes: 1_000_000 };
try {
  const log = await LmdbAlarmLog.open({ path: process.env.ALARM_LOG_PATH ?? '', retention });
  process.stdout.write(`opened ${log.bounds().epoch}\n`);
  setInterval(() => log.bounds(), 60_000);
} catch (cause) {
  process.stdout.write(`refused ${JSON.stringify(String(cause))}\n`);
}
