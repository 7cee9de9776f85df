import { describe, expect, test } from '@jest/globals';
import { GatewayRoutes } from '../../src/gateway/gateway.routes.js';
import { resolvePushOptions } from '../../src/push.options.js';
import { processorMsOf } from '../support/processor.time.js';

const routes = new GatewayRoutes(resolvePushOptions({}));
const rawData = (businessType: string, businessId: string, userName: string) => ({
  gateway: 'rawData',
  rawParameters: { businessType, businessId, userName },
});

describe('the paths of the gateways', () => {
  test.each([
    ['/ws/rowdata/dev/1/alice', rawData('dev', '1', 'alice')],
    ['/ws/rowdata/dev/1/alice?snapshot=true', rawData('dev', '1', 'alice')],
    ['/ws/rowdata/dev/1/alice?a=/b/c?d', rawData('dev', '1', 'alice')],
    ['/ws/rowdata/a%2Fb/%E7%94%B5/a:b', rawData('a%2Fb', '%E7%94%B5', 'a:b')],
    ['/ws/rowdata//1/alice', rawData('', '1', 'alice')],
    ['/ws/rowdata///', rawData('', '', '')],
    ['/ws/rowdata/../alarm/x', rawData('..', 'alarm', 'x')],
    ['/ws/rowdata/%00/*/%E0%A4%A', rawData('%00', '*', '%E0%A4%A')],
    ['/ws/alarm', { gateway: 'alarm', rawParameters: {} }],
    ['/ws/alarm?minSeverity=5', { gateway: 'alarm', rawParameters: {} }],
    ['/ws/alarm?', { gateway: 'alarm', rawParameters: {} }],
  ])('%s', (url, route) => {
    expect(routes.match(url)).toEqual(route);
  });

  test.each([
    '',
    '/',
    '/ws',
    '/ws/rowdata',
    '/ws/rowdata/dev',
    '/ws/rowdata/dev/1',
    '/ws/rowdata/dev/1/alice/',
    '/ws/rowdata/dev/1/alice/x',
    '/ws/rowdata/../alarm',
    '//evil/ws/alarm',
    '/ws\\alarm',
    '/ws/alarm/',
    '/ws/alarms',
    '/ws/alar',
    '/WS/alarm',
    '/ws//alarm',
    '/ws/./alarm',
    '/ws%2Falarm',
    '/ws/%61larm',
    'ws/alarm',
    '/x/ws/alarm',
    'http://host/ws/alarm',
    '/ws/alarm#x',
    '/ws/alarm;x',
    ' /ws/alarm',
    '/ws/alarm ',
    '/ws/alarm\n',
    '?/ws/alarm',
    '*',
  ])('%j is not ours', (url) => {
    expect(routes.match(url)).toBeUndefined();
  });

  test('can be others', () => {
    const options = resolvePushOptions({
      rawDataPath: '/v1.0/live/:businessType/:businessId/:userName',
      alarmPath: '/v1.0/alarms',
    });
    const others = new GatewayRoutes(options);
    expect(others.match('/v1.0/live/a/b/c')).toEqual(rawData('a', 'b', 'c'));
    expect(others.match('/v1.0/alarms')?.gateway).toBe('alarm');
    expect(others.match('/v1x0/alarms')).toBeUndefined();
    expect(others.match('/ws/alarm')).toBeUndefined();
  });

  test('a long hostile path costs no time', () => {
    const path = `/ws/rowdata${'/a'.repeat(100_000)}`;
    expect(processorMsOf(() => expect(routes.match(path)).toBeUndefined())).toBeLessThan(200);
  });
});
