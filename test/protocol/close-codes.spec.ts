import { describe, expect, test } from '@jest/globals';
import { CloseCodes } from '../../src/protocol/close-codes.js';

describe('CloseCodes', () => {
  test('are the ones of the protocol, with what to do after each', () => {
    expect(Object.values(CloseCodes).map(({ code, advice }) => [code, advice])).toEqual([
      [1012, 'retry'],
      [4400, 'stop'],
      [4401, 'refresh'],
      [4403, 'stop'],
      [4408, 'retry'],
      [4409, 'stop'],
      [4410, 'retry'],
      [4413, 'retry'],
      [4429, 'back off'],
    ]);
  });

  test.each(Object.entries(CloseCodes))('the reason of %s fits into a close frame', (_, { reason }) => {
    expect(reason).not.toBe('');
    expect(Buffer.byteLength(reason)).toBeLessThanOrEqual(123);
  });
});
