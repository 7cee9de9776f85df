import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { NewAlarm } from '../../src/alarm-log/alarm-log.js';
import { LmdbAlarmLog, type LmdbAlarmLogOptions } from '../../src/alarm-log/lmdb.alarm-log.js';

export const RETENTION = { count: 100_000, hours: 168, bytes: 1024 * 1024 * 1024 };

/** A folder for a test, and the logs opened in it, which are closed before it is removed. */
export class LogFolder {
  private readonly logs: LmdbAlarmLog[] = [];

  private constructor(readonly path: string) {}

  static async make(): Promise<LogFolder> {
    return new LogFolder(await mkdtemp(join(tmpdir(), 'alarm-log-')));
  }

  async open(options: Partial<LmdbAlarmLogOptions> = {}): Promise<LmdbAlarmLog> {
    const log = await LmdbAlarmLog.open({ path: this.path, retention: RETENTION, ...options });
    this.logs.push(log);
    return log;
  }

  async remove(): Promise<void> {
    for (const log of this.logs) await log.close();
    await rm(this.path, { recursive: true, force: true });
  }
}

export function alarmOf(n: number, { eventId, bytes = 0 }: { eventId?: string; bytes?: number } = {}): NewAlarm {
  const fields = { businessId: '1', businessType: undefined, severity: undefined, orgId: undefined };
  return {
    json: JSON.stringify({ n, text: 'x'.repeat(bytes) }),
    fields: { ...fields, conditionId: undefined, active: undefined },
    eventId,
  };
}
