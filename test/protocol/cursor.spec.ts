import { describe, expect, test } from '@jest/globals';
import { formatCursor, parseCursor } from '../../src/protocol/cursor.js';

describe('cursors', () => {
  test.each([
    ['a.0', 'a', 0],
    ['A-z_09.42', 'A-z_09', 42],
    [`${'e'.repeat(32)}.9007199254740991`, 'e'.repeat(32), Number.MAX_SAFE_INTEGER],
  ])('%s is read and written', (text, epoch, offset) => {
    expect(parseCursor(text)).toEqual({ epoch, offset });
    expect(formatCursor({ epoch, offset })).toBe(text);
  });

  test.each([
    '',
    '.',
    'a',
    'a.',
    '.1',
    'a.-1',
    'a.+1',
    'a.01',
    'a.1.2',
    'a.1 ',
    ' a.1',
    'a.1\n',
    'a.1e3',
    'a.0x1',
    'a b.1',
    'a/b.1',
    'é.1',
    'a.١',
    'a.9007199254740992',
    'a.99999999999999999',
    `${'e'.repeat(33)}.1`,
  ])('%j is none', (text) => {
    expect(parseCursor(text)).toBeUndefined();
  });
});
