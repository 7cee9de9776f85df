import { runInNewContext } from 'node:vm';
import { describe, expect, test } from '@jest/globals';
import { codeOf, reasonOf, stackOf } from '../src/push.causes.js';

const ofAnotherRealm: unknown = runInNewContext("Object.assign(new Error('far'), { code: 'EFAR' })");

describe('what was thrown', () => {
  test.each([
    [new Error('a'), 'a'],
    [ofAnotherRealm, 'far'],
    [new TypeError(''), 'TypeError'],
    [Object.assign(new AggregateError([]), { code: 'ECONNREFUSED' }), 'ECONNREFUSED'],
    ['text', 'text'],
    [undefined, 'undefined'],
    [null, 'null'],
    [{ message: 7 }, '7'],
  ])('%p in a sentence', (cause, reason) => {
    expect(reasonOf(cause)).toBe(reason);
  });

  test('its code, a name or a number', () => {
    expect(codeOf(ofAnotherRealm)).toBe('EFAR');
    expect(codeOf(Object.assign(new Error('full'), { code: 28 }))).toBe(28);
    expect([{ code: {} }, new Error('none'), undefined].map(codeOf)).toEqual([undefined, undefined, undefined]);
  });

  test('its stack, or what there is', () => {
    expect(stackOf(ofAnotherRealm)).toMatch(/^Error: far\n +at /);
    expect(stackOf({ message: 'no stack' })).toBe('no stack');
    expect(stackOf('text')).toBe('text');
  });
});
