import { describe, expect, test } from '@jest/globals';
import { alarmMessage, rawDataMessage, serverMessage } from '../../src/protocol/messages.js';

describe('serverMessage', () => {
  test('is event, then id or ref, then data', () => {
    expect(serverMessage('mark', { n: 7 })).toBe('{"event":"mark","data":{"n":7}}');
    expect(serverMessage('heartbeat', {}, { id: 'e.3' })).toBe('{"event":"heartbeat","id":"e.3","data":{}}');
    expect(serverMessage('unsubscribed', { keys: [] }, { ref: 'r1' })).toBe(
      '{"event":"unsubscribed","ref":"r1","data":{"keys":[]}}',
    );
    expect(serverMessage('unsubscribed', { keys: [] }, { ref: 0 })).toContain('"ref":0');
  });

  test('quotes what is not ours', () => {
    const text = serverMessage('exception', { code: 'badMessage', message: '"\n</script>\u2028' }, { ref: '"}' });
    expect(JSON.parse(text)).toEqual({
      event: 'exception',
      ref: '"}',
      data: { code: 'badMessage', message: '"\n</script>\u2028' },
    });
  });
});

test('what is encoded already is wrapped as it is', () => {
  expect(rawDataMessage('{"a":1.0}')).toBe('{"event":"rawData","data":{"a":1.0}}');
  expect(alarmMessage('ep_-1.42', '{"a":1.0}')).toBe('{"event":"alarm","id":"ep_-1.42","data":{"a":1.0}}');
});
