import type { AlarmFields } from '../../src/alarm-log/alarm-log.js';

/** Of an alarm that says no more than it has to. */
export const PLAIN_FIELDS: AlarmFields = {
  businessId: '1',
  businessType: undefined,
  severity: undefined,
  orgId: undefined,
  conditionId: undefined,
  active: undefined,
};
