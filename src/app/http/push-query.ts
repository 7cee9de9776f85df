import { InvalidPushError } from '../../push.errors.js';
import { checkPushOptions } from '../../push.rules.js';
import type { PushRawDataOptions } from '../../push.types.js';

export type Query = Readonly<Record<string, unknown>>;

/**
 * The options of a push from a query: `?to.userName=ann&to.businessType=meter&except=<clientId>`. Throws
 * {@link InvalidPushError} for any other name, for a name given twice, and for what PushService refuses.
 */
export function pushOptionsFrom(query: Query): PushRawDataOptions {
  const options: Record<string, unknown> = {};
  const to: Record<string, unknown> = {};
  for (const [name, value] of Object.entries(query)) {
    if (name.startsWith('to.')) to[name.slice('to.'.length)] = value;
    else if (name === 'except') options['except'] = value;
    else throw new InvalidPushError(name, 'is not known: the query may hold to.<part> and except');
  }
  if (Object.keys(to).length > 0) options['to'] = to;
  checkPushOptions(options);
  return options;
}

/** Throws {@link InvalidPushError} where the query holds anything else than these names. */
export function checkQueryNames(query: Query, names: readonly string[]): void {
  for (const name of Object.keys(query)) {
    if (names.includes(name)) continue;
    const known = names.length === 0 ? 'this route takes no query' : `the query may hold ${names.join(', ')}`;
    throw new InvalidPushError(name, `is not known: ${known}`);
  }
}

/** The body as a list. Throws {@link InvalidPushError} where it, or one of an array, is not an object. */
export function objectsFrom(body: unknown): object[] {
  const isMany = Array.isArray(body);
  const values: unknown[] = isMany ? body : [body];
  return values.map((value, index) => {
    if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value;
    throw new InvalidPushError(
      isMany ? `[${index}]` : 'body',
      isMany ? 'must be an object' : 'must be an object or an array',
    );
  });
}
