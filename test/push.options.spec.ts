import { describe, expect, test } from '@jest/globals';
import { Authenticator } from '../src/access/authenticator.js';
import { PushConfigurationError } from '../src/push.errors.js';
import { type PushModuleOptions, PushOptions, resolvePushOptions } from '../src/push.options.js';

class EverybodyIsAlice extends Authenticator {
  authenticate() {
    return { userName: 'alice' };
  }
}

const authenticator = new EverybodyIsAlice();

function problemsOf(options: object): readonly string[] {
  try {
    resolvePushOptions(options as PushModuleOptions);
  } catch (cause) {
    if (cause instanceof PushConfigurationError) return cause.problems;
    throw cause;
  }
  return [];
}

describe('resolvePushOptions', () => {
  test('fills in the defaults of the design', () => {
    expect(resolvePushOptions({})).toBeInstanceOf(PushOptions);
    expect(resolvePushOptions({})).toMatchObject({
      rawDataPath: '/ws/rowdata/:businessType/:businessId/:userName',
      alarmPath: '/ws/alarm',
      flushIntervalMs: 0,
      inFlightBytes: 65_536,
      maxOutboxBytes: 1_048_576,
      conflateAfterMs: 100,
      delivery: 'conflate',
      heartbeatIntervalMs: 25_000,
      heartbeatTimeoutMs: 45_000,
      maxConnections: 10_000,
      maxConnectionsPerIp: 1000,
      maxSubscriptionsPerClient: 1000,
      allowedOrigins: [],
      trustProxy: [],
      allowAnonymous: false,
      unmatchedUpgrade: 'reject',
      alarmRetention: 100_000,
      alarmRetentionHours: 168,
      alarmRetentionBytes: 1_073_741_824,
      drainDeadlineMs: 10_000,
    });
  });

  test('takes what is given, and leaves the default where it is undefined', () => {
    const options = resolvePushOptions({ flushIntervalMs: 100, inFlightBytes: undefined, delivery: 'merge' });
    expect(options).toMatchObject({ flushIntervalMs: 100, inFlightBytes: 65_536, delivery: 'merge' });
  });

  test('changes nothing of what it was given, nor the defaults', () => {
    const given = Object.freeze({ maxConnections: 5 });
    resolvePushOptions(given).trustProxy.push('10.0.0.1');
    expect(resolvePushOptions({})).toMatchObject({ maxConnections: 10_000, trustProxy: [] });
  });

  test.each<[PushModuleOptions]>([
    [{ rawDataPath: '/a/b.c/:businessType/:businessId/:userName', alarmPath: '/x' }],
    [{ allowedOrigins: ['https://app.example.com', 'http://localhost:5173', 'null'] }],
    [{ allowedOrigins: ['*'], authenticator }],
    [{ trustProxy: ['10.0.0.1', '192.168.0.0/16', '::1', 'fc00::/7', 'loopback', 'uniquelocal'] }],
    [{ heartbeatIntervalMs: 100, heartbeatTimeoutMs: 101 }],
    [{ inFlightBytes: 4096, maxOutboxBytes: 4096 }],
    [{ deliveryFilter: () => true, seriesOf: () => 's', unmatchedUpgrade: 'ignore' }],
  ])('%j is fine', (options) => {
    expect(problemsOf(options)).toEqual([]);
  });

  test.each<[string, unknown]>([
    ['rawDataPath', '/ws/:businessType/:businessId'],
    ['rawDataPath', 'ws/:businessType/:businessId/:userName'],
    ['rawDataPath', '/:businessType/:businessId/:userName'],
    ['rawDataPath', '/ws/:businessId/:businessType/:userName'],
    ['rawDataPath', '/ws/:businessType/:businessId/:userName/more'],
    ['rawDataPath', '/ws/{a}/:businessType/:businessId/:userName'],
    ['alarmPath', '/ws/:alarm'],
    ['alarmPath', 'alarm'],
    ['alarmPath', '/ws/alarm/'],
    ['alarmPath', '/ws/alarm?x'],
    ['alarmPath', ''],
    ['flushIntervalMs', -1],
    ['flushIntervalMs', 1.5],
    ['flushIntervalMs', '100'],
    ['flushIntervalMs', Number.NaN],
    ['flushIntervalMs', Infinity],
    ['flushIntervalMs', null],
    ['inFlightBytes', 0],
    ['maxOutboxBytes', '1 MiB'],
    ['conflateAfterMs', -1],
    ['delivery', 'drop'],
    ['heartbeatIntervalMs', 0],
    ['heartbeatTimeoutMs', 2 ** 31],
    ['maxConnections', 0],
    ['maxConnectionsPerIp', -1],
    ['maxSubscriptionsPerClient', 0],
    ['maxMessageBytes', 1],
    ['allowedOrigins', 'https://a.example.com'],
    ['allowedOrigins', true],
    ['allowedOrigins', {}],
    ['allowedOrigins', null],
    ['allowedOrigins', [1]],
    ['allowedOrigins', ['a.example.com']],
    ['allowedOrigins', ['https://a.example.com/path']],
    ['allowedOrigins', ['']],
    ['trustProxy', '10.0.0.1'],
    ['trustProxy', ['']],
    ['trustProxy', ['not an address']],
    ['trustProxy', ['10.0.0.0/99']],
    ['allowAnonymous', 'true'],
    ['authenticator', {}],
    ['authenticator', () => ({})],
    ['authenticator', EverybodyIsAlice],
    ['unmatchedUpgrade', 'destroy'],
    ['deliveryFilter', 'all'],
    ['seriesOf', {}],
    ['alarmRetention', 0],
    ['alarmRetentionHours', 0],
    ['alarmRetentionBytes', 1],
    ['drainDeadlineMs', 2 ** 31],
  ])('%s: %j is a problem that names it', (name, value) => {
    const problems = problemsOf({ [name]: value });
    expect(problems.length).toBeGreaterThanOrEqual(1);
    expect(problems.every((problem) => problem.includes(name))).toBe(true);
  });

  test('every problem is told at once', () => {
    const problems = problemsOf({
      flushIntervalMs: -1,
      delivery: 'drop',
      maxConections: 5,
      heartbeatIntervalMs: 50_000,
      allowedOrigins: ['*'],
    });
    for (const words of ['flushIntervalMs', 'delivery', 'maxConections', 'heartbeatTimeoutMs', 'allowedOrigins']) {
      expect(problems.filter((problem) => problem.includes(words))).toHaveLength(1);
    }
    expect(problems).toHaveLength(5);
  });

  test('an unknown option is told as such', () => {
    expect(problemsOf({ port: 3000 })).toEqual(['port is not an option of PushModule']);
    expect(problemsOf({ constructor2: 1, Delivery: 'merge' })).toHaveLength(2);
  });

  describe('contradictions', () => {
    test.each<[string, object, string]>([
      [
        'a timeout not after the interval',
        { heartbeatIntervalMs: 1000, heartbeatTimeoutMs: 1000 },
        'heartbeatTimeoutMs',
      ],
      ['a window larger than the outbox', { inFlightBytes: 8192, maxOutboxBytes: 4096 }, 'inFlightBytes'],
      ['every origin without authentication', { allowedOrigins: ['*'] }, 'allowedOrigins'],
      ['every origin among others without authentication', { allowedOrigins: ['https://a.b', '*'] }, 'allowedOrigins'],
      [
        'every origin with an authenticator that is null',
        { allowedOrigins: ['*'], authenticator: null },
        'allowedOrigins',
      ],
    ])('%s', (_, options, words) => {
      expect(problemsOf(options)).toEqual([expect.stringContaining(words)]);
    });
  });

  test.each(['authenticator', 'deliveryFilter', 'seriesOf'] as const)('%s null counts as absent', (name) => {
    expect(resolvePushOptions({ [name]: null } as unknown as PushModuleOptions)[name]).toBeUndefined();
  });
});
