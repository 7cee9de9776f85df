import { describe, expect, test } from '@jest/globals';
import { bearerToken, withoutTokens } from '../../src/access/bearer.token.js';
import { processorMsOf } from '../support/processor.time.js';
import { signToken } from '../support/tokens.js';
import { requestOf } from './request.js';

const tokenOf = (headers: (readonly [string, string])[], query?: string) =>
  bearerToken(requestOf({ headers }), query === undefined ? undefined : new URLSearchParams(query));

describe('where a token is looked for', () => {
  test.each<[string, (readonly [string, string])[], string | undefined]>([
    ['nowhere', [], undefined],
    ['in Authorization', [['Authorization', 'Bearer abc']], 'abc'],
    ['in another case', [['authorization', 'bEARER abc']], 'abc'],
    ['behind several blanks', [['Authorization', 'Bearer   abc']], 'abc'],
    ['in another scheme', [['Authorization', 'Basic abc']], undefined],
    ['without a scheme', [['Authorization', 'abc']], undefined],
    ['in two words', [['Authorization', 'Bearer abc def']], undefined],
    ['in an empty Authorization', [['Authorization', '']], undefined],
    ['in a subprotocol', [['Sec-WebSocket-Protocol', 'push.v1, bearer.abc']], 'abc'],
    ['in the first of the subprotocols', [['Sec-WebSocket-Protocol', 'bearer.a.b.c,push.v1']], 'a.b.c'],
    [
      'in the second header of them',
      [
        ['Sec-WebSocket-Protocol', 'push.v1'],
        ['Sec-WebSocket-Protocol', 'bearer.abc'],
      ],
      'abc',
    ],
    ['in a subprotocol that only begins like one', [['Sec-WebSocket-Protocol', 'push.v1, bearerabc']], undefined],
    [
      'in both: Authorization',
      [
        ['Authorization', 'Bearer abc'],
        ['Sec-WebSocket-Protocol', 'push.v1, bearer.xyz'],
      ],
      'abc',
    ],
    [
      'in another scheme, and never beside it',
      [
        ['Authorization', 'Basic abc'],
        ['Sec-WebSocket-Protocol', 'push.v1, bearer.xyz'],
      ],
      undefined,
    ],
  ])('%s', (_where, headers, expected) => {
    expect(tokenOf(headers)).toBe(expected);
  });

  test('the query counts only where it is given, and last', () => {
    expect(tokenOf([], 'access_token=abc')).toBe('abc');
    expect(tokenOf([])).toBeUndefined();
    expect(tokenOf([], 'token=abc')).toBeUndefined();
    expect(tokenOf([['Authorization', 'Bearer abc']], 'access_token=xyz')).toBe('abc');
    expect(tokenOf([['Sec-WebSocket-Protocol', 'push.v1, bearer.abc']], 'access_token=xyz')).toBe('abc');
  });
});

describe('withoutTokens', () => {
  test('leaves no part of a token, wherever it stands', async () => {
    const token = await signToken({ sub: 'ann' });
    const text = withoutTokens(`Error: no user of "${token}"\n at f (bearer.${token}), access_token=${token}&x`);
    expect(text).toBe('Error: no user of "[token]"\n at f (bearer.[token]), access_token=[token]&x');
  });

  test('leaves an unsigned one out too', () => {
    expect(withoutTokens('eyJhbGciOiJub25lIn0.eyJzdWIiOiJhbm4ifQ.')).toBe('[token]');
  });

  test.each(['', 'fetch failed', 'connect ECONNREFUSED 127.0.0.1:443', 'at authenticate (jwt.authenticator.ts:71:5)'])(
    'leaves %j as it is',
    (text) => expect(withoutTokens(text)).toBe(text),
  );

  test('takes no time with what a client made up', () => {
    const word = 'a'.repeat(8000);
    const texts = [word + word, `${word}.${word}`, `${word}.`.repeat(2), 'a.'.repeat(8000)];
    expect(processorMsOf(() => texts.forEach(withoutTokens))).toBeLessThan(200);
  });
});
