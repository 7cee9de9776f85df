import {
  Observable,
  Subject,
  Subscriber,
  type Observer,
  type Operator,
  type Subscription,
  type TeardownLogic,
} from 'rxjs';

type ErrorReport = (error: unknown) => void;

/**
 * An observable whose subscribers cannot harm the process: what their `next` throws, and what an operator between
 * throws where nobody handles it, is reported. Plain rxjs would rethrow it from a timer, as an uncaught exception.
 */
class GuardedObservable<T> extends Observable<T> {
  constructor(
    subscribe: ((this: Observable<T>, subscriber: Subscriber<T>) => TeardownLogic) | undefined,
    private readonly report: ErrorReport,
  ) {
    super(subscribe);
  }

  override lift<R>(operator?: Operator<T, R>): Observable<R> {
    const lifted = new GuardedObservable<R>(undefined, this.report);
    lifted.source = this;
    lifted.operator = operator as Operator<unknown, R> | undefined;
    return lifted;
  }

  override subscribe(
    observerOrNext?: Partial<Observer<T>> | ((value: T) => void) | null,
    error?: ((error: unknown) => void) | null,
    complete?: (() => void) | null,
  ): Subscription {
    // An operator's own subscriber hands errors on to the last one, which is guarded.
    if (observerOrNext instanceof Subscriber) return super.subscribe(observerOrNext);
    const observer =
      typeof observerOrNext === 'function' || observerOrNext === null || observerOrNext === undefined
        ? { next: observerOrNext ?? undefined, error: error ?? undefined, complete: complete ?? undefined }
        : observerOrNext;
    const guard = <A extends unknown[]>(listener: (...args: A) => void) => this.guard(listener);
    return super.subscribe({
      next: guard((value: T) => observer.next?.(value)),
      error: guard((cause: unknown) => (observer.error === undefined ? this.report(cause) : observer.error(cause))),
      complete: guard(() => observer.complete?.()),
    });
  }

  private guard<A extends unknown[]>(listener: (...args: A) => void): (...args: A) => void {
    return (...args) => {
      try {
        // An async listener's rejection would end the process as well.
        const result: unknown = listener(...args);
        if (result instanceof Promise) result.catch(this.report);
      } catch (cause) {
        this.report(cause);
      }
    };
  }
}

/** A subject whose listeners are the application's, and cannot harm whoever emits. */
export class GuardedSubject<T> {
  private readonly subject = new Subject<T>();
  readonly observable: Observable<T>;

  constructor(report: ErrorReport) {
    this.observable = new GuardedObservable<T>((subscriber) => this.subject.subscribe(subscriber), report);
  }

  get isObserved(): boolean {
    return this.subject.observed;
  }

  next(value: T): void {
    this.subject.next(value);
  }
}
