import type { PushModuleOptions } from '../../../src/index.js';
import { type Contender, type Dialect, oursWith } from '../contenders.js';
import { createTemporaryFolder } from '../temporary.folder.js';

export const ALARM_PATH = '/ws/alarm';

/** The gateway with its alarm log on disk, in a folder of its own. */
export function oursOnDisk(name: string, dialect: Dialect, options: PushModuleOptions = {}): Contender {
  return oursWith(name, { alarmLogPath: createTemporaryFolder(), ...options }, dialect);
}
