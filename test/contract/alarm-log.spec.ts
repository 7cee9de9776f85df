import { describe, expect, test } from '@jest/globals';
import { MemoryAlarmLog } from '../../src/alarm-log/memory.alarm-log.js';
import { describeAlarmLog } from './alarm-log.contract.js';

describeAlarmLog('MemoryAlarmLog', async ({ retention, now }) => new MemoryAlarmLog(retention, now));

describe('MemoryAlarmLog', () => {
  const retention = { count: 1, hours: 1, bytes: 65_536 };

  test('says that it does not outlive the process', () => {
    expect(new MemoryAlarmLog(retention).isDurable).toBe(false);
  });

  test('begins a new epoch each time', () => {
    expect(new MemoryAlarmLog(retention).bounds().epoch).not.toBe(new MemoryAlarmLog(retention).bounds().epoch);
  });
});
