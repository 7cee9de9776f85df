import { describe, expect, test } from '@jest/globals';
import { alarmKey, belongsToAny, conflationKey, MAX_PART_BYTES, partFault, rawDataKey } from '../../src/fan-out/key.js';

describe('partFault', () => {
  test.each([
    'dev',
    '1',
    ' ',
    'a b',
    'a:b',
    'a%3Ab',
    'a/b',
    '电表',
    '\u{1f600}',
    '**',
    '*x',
    '...',
    '.a',
    'null',
    '__proto__',
    'a?b#c',
    'x'.repeat(MAX_PART_BYTES),
    '电'.repeat(42),
    '\u00a0',
    '\u200b',
    '\u00e9',
    'e\u0301',
  ])('%j is a part', (part) => {
    expect(partFault(part)).toBeUndefined();
  });

  test.each([
    ['the empty string', '', 'empty'],
    ['the wildcard', '*', '"*"'],
    ['a dot', '.', '"."'],
    ['two dots', '..', '".."'],
    ['129 bytes', 'x'.repeat(129), '128 bytes'],
    ['43 characters of 3 bytes', '电'.repeat(43), '128 bytes'],
    ['NUL', 'a\0b', 'control'],
    ['a line break', 'a\nb', 'control'],
    ['a tab', '\t', 'control'],
    ['DEL', 'a\u007f', 'control'],
    ['a C1 control', 'a\u0085b', 'control'],
    ['a line separator', 'a\u2028b', 'control'],
    ['a lone surrogate', 'a\ud800', 'Unicode'],
    ['a number', 1, 'string'],
    ['null', null, 'string'],
    ['undefined', undefined, 'string'],
    ['an array', ['a'], 'string'],
    ['a String object', Object('a'), 'string'],
  ])('%s is none', (_, part, fault) => {
    expect(partFault(part)).toContain(fault);
  });
});

describe('keys', () => {
  test('of raw data encode each part, so that none holds a colon', () => {
    expect(rawDataKey('dev', '1', 'alice', 'c1')).toBe('websocket:rowdata:dev:1:alice:c1');
    expect(rawDataKey('a:b', 'a%3Ab', '电 表', 'c')).toBe('websocket:rowdata:a%3Ab:a%253Ab:%E7%94%B5%20%E8%A1%A8:c');
  });

  test('differ where parts differ, also where plain joining would not', () => {
    expect(rawDataKey('a:b', 'c', 'u', 'x')).not.toBe(rawDataKey('a', 'b:c', 'u', 'x'));
    expect(rawDataKey('a%3Ab', 'c', 'u', 'x')).not.toBe(rawDataKey('a:b', 'c', 'u', 'x'));
  });

  test('of alarms', () => {
    expect(alarmKey('a:b')).toBe('websocket:alarm:a%3Ab');
  });
});

describe('conflationKey', () => {
  test('tells apart what joining without a separator would not', () => {
    const keys = [
      conflationKey('a', 'bc', ''),
      conflationKey('ab', 'c', ''),
      conflationKey('a', 'b', 'c'),
      conflationKey('a', '', 'bc'),
      conflationKey('a', 'b', '\0c'),
      conflationKey('a', 'b', ''),
    ];
    expect(new Set(keys).size).toBe(keys.length);
  });
});

describe('belongsToAny', () => {
  const belongs = belongsToAny([
    { businessType: 'meter', businessId: '5' },
    { businessType: 'dev', businessId: '*' },
  ]);

  test.each([
    ['meter', '5', true],
    ['meter', '50', false],
    ['meter', '6', false],
    ['dev', '1', true],
    ['dev', '', true],
    ['pump', '5', false],
  ])('%s/%s: %s', (businessType, businessId, expected) => {
    expect(belongs(conflationKey(businessType, businessId, 'series'))).toBe(expected);
  });
});
