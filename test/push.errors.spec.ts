import { describe, expect, test } from '@jest/globals';
import {
  AlarmNotAcceptedError,
  EventIdConflictError,
  InvalidPushError,
  PayloadTooLargeError,
  PushConfigurationError,
  PushError,
} from '../src/push.errors.js';

describe('errors', () => {
  test.each([
    [
      new InvalidPushError('to.userName', 'must not be empty'),
      'InvalidPushError',
      'invalidPush',
      'to.userName must not be empty',
    ],
    [new PayloadTooLargeError('alarm', 70_000, 65_536), 'PayloadTooLargeError', 'payloadTooLarge', '70000'],
    [new EventIdConflictError('e1', 'ep.3'), 'EventIdConflictError', 'eventIdConflict', 'eventId'],
    [
      new AlarmNotAcceptedError('unknown', 'the disk is full'),
      'AlarmNotAcceptedError',
      'alarmNotAccepted',
      'the disk is full',
    ],
    [new PushConfigurationError(['a is wrong', 'b is wrong']), 'PushConfigurationError', 'configuration', 'b is wrong'],
  ])('%s', (error, name, code, words) => {
    expect(error).toBeInstanceOf(PushError);
    expect(error).toBeInstanceOf(Error);
    expect(error).toMatchObject({ name, code });
    expect(error.message).toContain(words);
    expect(error.stack).toContain(name);
  });

  test('carry what a caller acts upon', () => {
    expect(new PayloadTooLargeError('raw datum', 2, 1)).toMatchObject({ bytes: 2, maxBytes: 1 });
    expect(new EventIdConflictError('e1', 'ep.3')).toMatchObject({ eventId: 'e1', cursor: 'ep.3' });
    expect(new AlarmNotAcceptedError('rejected', 'why')).toMatchObject({ outcome: 'rejected' });
    expect(new PushConfigurationError(['a', 'b']).problems).toEqual(['a', 'b']);
  });

  test('the same fault in one of several names its place', () => {
    const error = new InvalidPushError('businessId', 'must not be empty').at('[3]');
    expect(error).toMatchObject({ field: '[3].businessId', message: '[3].businessId must not be empty' });
    expect(error.at('alarms').field).toBe('alarms.[3].businessId');
  });
});
