import { describe, expect, test } from '@jest/globals';
import { type AlarmAddress, type AlarmFilter, isAlarmFor } from '../../src/fan-out/alarm.client.js';

const NO_FILTER: AlarmFilter = { minSeverity: undefined, businessTypes: undefined, businessIds: undefined };
const ALARM: AlarmAddress = { businessId: '1', businessType: undefined, severity: undefined, orgId: undefined };

const covering = (...orgIds: string[]) => ({ covers: (orgId: string) => orgIds.includes(orgId) });

const acmeAccepts = (alarm: AlarmAddress) => isAlarmFor(NO_FILTER, covering('acme'), alarm);

describe('which alarms a client accepts', () => {
  const cases: [string, Partial<AlarmFilter>, Partial<AlarmAddress>, boolean][] = [
    ['all, where it asked for nothing', {}, { businessType: 'dev', severity: 1 }, true],
    ['minSeverity: above', { minSeverity: 500 }, { severity: 501 }, true],
    ['minSeverity: equal', { minSeverity: 500 }, { severity: 500 }, true],
    ['minSeverity: below', { minSeverity: 500 }, { severity: 499 }, false],
    ['minSeverity: an alarm without counts as 1000', { minSeverity: 1000 }, {}, true],
    ['businessType: its own', { businessTypes: new Set(['dev', 'host']) }, { businessType: 'host' }, true],
    ['businessType: another', { businessTypes: new Set(['dev']) }, { businessType: 'device' }, false],
    ['businessType: an alarm without', { businessTypes: new Set(['dev']) }, {}, false],
    ['businessId: its own', { businessIds: new Set(['1', '2']) }, { businessId: '2' }, true],
    ['businessId: another', { businessIds: new Set(['1']) }, { businessId: '10' }, false],
    [
      'all of it',
      { minSeverity: 5, businessTypes: new Set(['dev']), businessIds: new Set(['1']) },
      { businessType: 'dev', severity: 5 },
      true,
    ],
    [
      'all but one',
      { minSeverity: 5, businessTypes: new Set(['dev']), businessIds: new Set(['2']) },
      { businessType: 'dev', severity: 5 },
      false,
    ],
  ];

  test.each(cases)('%s', (_, filter, alarm, isAccepted) => {
    expect(isAlarmFor({ ...NO_FILTER, ...filter }, covering(), { ...ALARM, ...alarm })).toBe(isAccepted);
  });

  test('an alarm of an organisation only where the client covers it; without one everybody', () => {
    expect(acmeAccepts({ ...ALARM, orgId: 'acme' })).toBe(true);
    expect(acmeAccepts({ ...ALARM, orgId: 'other' })).toBe(false);
    expect(acmeAccepts(ALARM)).toBe(true);
  });
});
