import { setImmediate as nextTurn, setTimeout as afterMs } from 'node:timers/promises';
import { beforeEach, describe, expect, test } from '@jest/globals';
import {
  bufferCount,
  catchError,
  concatMap,
  EMPTY,
  filter,
  firstValueFrom,
  map,
  of,
  share,
  Subject,
  switchMap,
  take,
  tap,
} from 'rxjs';
import { GuardedSubject } from '../../src/registry/guarded.subject.js';

const fault = new Error('the listener is broken');
const fail = (): never => {
  throw fault;
};

/** Until whatever was left uncaught has been raised; the test runner then fails the test that runs. */
async function raiseUncaught(): Promise<void> {
  await nextTurn();
  await afterMs(2);
  await nextTurn();
}

let subject: GuardedSubject<number>;
let reports: unknown[];
let heard: number[];

beforeEach(() => {
  reports = [];
  heard = [];
  subject = new GuardedSubject((cause) => reports.push(cause));
});

describe('a listener that is broken harms nobody', () => {
  test.each<[string, () => void]>([
    ['next throws', () => void subject.observable.subscribe(fail)],
    ['next of an observer throws', () => void subject.observable.subscribe({ next: fail })],
    ['an operator throws', () => void subject.observable.pipe(map(fail)).subscribe()],
    ['an operator throws, with a next', () => void subject.observable.pipe(map(fail)).subscribe(() => {})],
    [
      'a second operator throws',
      () =>
        void subject.observable
          .pipe(
            map((n) => n + 1),
            filter(fail),
          )
          .subscribe(),
    ],
    ['an operator throws behind share', () => void subject.observable.pipe(share(), tap(fail)).subscribe()],
    [
      'an inner observable throws',
      () => void subject.observable.pipe(concatMap(() => of(1).pipe(map(fail)))).subscribe(),
    ],
    ['a projection throws', () => void subject.observable.pipe(switchMap(fail)).subscribe()],
    ['next throws behind operators', () => void subject.observable.pipe(map((n) => n)).subscribe(fail)],
    ['an async next rejects', () => void subject.observable.subscribe(async () => fail())],
    ['an async next rejects later', () => void subject.observable.subscribe(async () => nextTurn().then(fail))],
    ['an async next of an observer rejects', () => void subject.observable.subscribe({ next: async () => fail() })],
    ['the error handler throws', () => void subject.observable.pipe(map(fail)).subscribe({ error: fail })],
    ['the completion throws', () => void subject.observable.pipe(take(1)).subscribe({ complete: fail })],
  ])('%s', async (_, listen) => {
    listen();
    subject.observable.subscribe((value) => heard.push(value));
    subject.next(1);
    subject.next(2);
    await raiseUncaught();
    expect(heard).toEqual([1, 2]);
    expect(reports.length).toBeGreaterThanOrEqual(1);
    expect(reports.every((report) => report === fault)).toBe(true);
  });

  test('whoever throws is heard again at the next value', () => {
    subject.observable.subscribe((value) => {
      heard.push(value);
      fail();
    });
    subject.next(1);
    subject.next(2);
    expect(heard).toEqual([1, 2]);
    expect(reports).toEqual([fault, fault]);
  });
});

describe('it is an observable as any other', () => {
  test('values arrive synchronously, in order, until unsubscription', () => {
    const subscription = subject.observable.subscribe((value) => heard.push(value));
    subject.next(1);
    expect(heard).toEqual([1]);
    subject.next(2);
    subscription.unsubscribe();
    subject.next(3);
    expect(heard).toEqual([1, 2]);
  });

  test('operators work', async () => {
    const pairs: number[][] = [];
    subject.observable
      .pipe(
        filter((n) => n > 1),
        map((n) => n * 10),
        bufferCount(2),
      )
      .subscribe((pair) => pairs.push(pair));
    const first = firstValueFrom(subject.observable.pipe(map((n) => `got ${n}`)));
    for (const n of [1, 2, 3]) subject.next(n);
    expect(pairs).toEqual([[20, 30]]);
    expect(await first).toBe('got 1');
  });

  test('an application that handles its error is not overruled', () => {
    const handled: unknown[] = [];
    subject.observable.pipe(map(fail)).subscribe({ error: (cause) => handled.push(cause) });
    subject.observable
      .pipe(
        map(fail),
        catchError((cause: unknown) => (handled.push(cause), EMPTY)),
      )
      .subscribe();
    subject.next(1);
    expect(handled).toEqual([fault, fault]);
    expect(reports).toEqual([]);
  });

  test('firstValueFrom rejects where an operator throws', async () => {
    const first = firstValueFrom(subject.observable.pipe(map(fail)));
    subject.next(1);
    await expect(first).rejects.toBe(fault);
  });

  test('another subject can subscribe', () => {
    const other = new Subject<number>();
    other.subscribe((value) => heard.push(value));
    subject.observable.subscribe(other);
    subject.next(1);
    expect(heard).toEqual([1]);
  });

  test('the observer keeps its this', () => {
    const observer = {
      values: [] as number[],
      next(value: number) {
        this.values.push(value);
      },
    };
    subject.observable.subscribe(observer);
    subject.next(1);
    expect(observer.values).toEqual([1]);
  });

  test('knows whether anybody listens', () => {
    expect(subject.isObserved).toBe(false);
    const subscription = subject.observable.pipe(map((n) => n)).subscribe();
    expect(subject.isObserved).toBe(true);
    subscription.unsubscribe();
    expect(subject.isObserved).toBe(false);
  });

  test('take ends the subscription', () => {
    subject.observable.pipe(take(1)).subscribe((value) => heard.push(value));
    subject.next(1);
    subject.next(2);
    expect(heard).toEqual([1]);
    expect(subject.isObserved).toBe(false);
  });
});
