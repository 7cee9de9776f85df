import { describe, expect, test } from '@jest/globals';
import { type AlarmAddress, AlarmClient, type AlarmFilter, routeAlarm } from '../../src/fan-out/alarm.router.js';
import { FlushLane } from '../../src/fan-out/flush-queue.js';
import { Frame } from '../../src/fan-out/frame.js';
import { MemorySink } from '../support/memory.sink.js';
import { identityOf, optionsOf } from './fixtures.js';

const NO_FILTER: AlarmFilter = { minSeverity: undefined, businessTypes: undefined, businessIds: undefined };
const ALARM: AlarmAddress = { businessId: '1', businessType: undefined, severity: undefined, orgId: undefined };

function clientOf(
  filter: Partial<AlarmFilter> = {},
  covered: readonly string[] = [],
  lane = new FlushLane(
    () => {},
    0,
    () => 1,
  ),
) {
  const sink = new MemorySink();
  const scope = { covers: (orgId: string) => covered.includes(orgId) };
  return { sink, client: new AlarmClient(identityOf(), sink, optionsOf({ lane }), { ...NO_FILTER, ...filter }, scope) };
}

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
    expect(clientOf(filter).client.accepts({ ...ALARM, ...alarm })).toBe(isAccepted);
  });

  test('an alarm of an organisation only where the client covers it; without one everybody', () => {
    const { client } = clientOf({}, ['acme']);
    expect(client.accepts({ ...ALARM, orgId: 'acme' })).toBe(true);
    expect(client.accepts({ ...ALARM, orgId: 'other' })).toBe(false);
    expect(client.accepts(ALARM)).toBe(true);
  });
});

describe('routeAlarm', () => {
  test('offers to those that accept, and counts them', () => {
    const lane = new FlushLane(
      () => {},
      0,
      () => 1,
    );
    const all = clientOf({}, [], lane);
    const some = clientOf({ minSeverity: 100 }, [], lane);
    const clients = [all.client, some.client];
    expect(routeAlarm(clients, { ...ALARM, severity: 50 }, Frame.alarm('e.1', '{"n":1}'))).toBe(1);
    expect(routeAlarm(clients, { ...ALARM, severity: 100 }, Frame.alarm('e.2', '{"n":2}'))).toBe(2);
    expect(routeAlarm([], ALARM, Frame.alarm('e.3', '{}'))).toBe(0);
    lane.run(1, 0, Infinity);
    expect(all.sink.texts()).toEqual(['{"n":1}', '{"n":2}']);
    expect(some.sink.texts()).toEqual(['{"n":2}']);
  });
});
