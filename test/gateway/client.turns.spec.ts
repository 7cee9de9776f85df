import { beforeEach, describe, expect, test } from '@jest/globals';
import { ClientTurns } from '../../src/gateway/client.turns.js';
import { turn } from '../support/deadline.js';

const MAX_WAITING = 3;

let turns: ClientTurns<object>;
let done: string[];
let failures: unknown[];

beforeEach(() => {
  failures = [];
  turns = new ClientTurns(MAX_WAITING, (client, cause) => failures.push([client, cause]));
  done = [];
});

/** Work that ends when it is told to. */
function waiting(name: string): { work: () => Promise<void>; end: () => void } {
  let end: (() => void) | undefined;
  const ended = new Promise<void>((resolve) => (end = resolve));
  const work = async () => {
    done.push(`${name} begins`);
    await ended;
    done.push(`${name} ends`);
  };
  return { work, end: () => end?.() };
}

const atOnce = (name: string) => () => {
  done.push(name);
  return undefined;
};

describe('what one client asks for', () => {
  test('is done at once where nothing waits', () => {
    const client = {};
    expect([turns.take(client, atOnce('a')), turns.take(client, atOnce('b'))]).toEqual([true, true]);
    expect(done).toEqual(['a', 'b']);
  });

  test('is told where it fails, and what comes behind it is done all the same', async () => {
    const client = {};
    const cause = new Error('no');
    turns.take(client, () => Promise.reject(cause));
    turns.take(client, atOnce('behind'));
    await turn();
    expect([failures, done]).toEqual([[[client, cause]], ['behind']]);
  });

  test('is done in its order behind what waits, and what others ask for is not held up', async () => {
    const [client, other] = [{}, {}];
    const [one, two] = [waiting('one'), waiting('two')];
    turns.take(client, one.work);
    turns.take(client, two.work);
    turns.take(client, atOnce('three'));
    turns.take(other, atOnce('other'));
    two.end();
    await turn();
    expect(done).toEqual(['one begins', 'other']);
    one.end();
    await turn();
    expect(done).toEqual(['one begins', 'other', 'one ends', 'two begins', 'two ends', 'three']);
    turns.take(client, atOnce('four'));
    expect(done.at(-1)).toBe('four');
  });

  test('is not taken beyond so much that waits', async () => {
    const client = {};
    const first = waiting('first');
    expect(turns.take(client, first.work)).toBe(true);
    expect([1, 2, 3, 4].map((n) => turns.take(client, atOnce(`${n}`)))).toEqual([true, true, false, false]);
    expect(turns.take({}, atOnce('other'))).toBe(true);
    first.end();
    await turn();
    expect(done).toEqual(['first begins', 'other', 'first ends', '1', '2']);
    expect(turns.take(client, atOnce('again'))).toBe(true);
  });
});
