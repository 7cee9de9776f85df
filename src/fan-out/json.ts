/** Nesting beyond this is refused; it also ends the walk through a circular object. */
const MAX_DEPTH = 64;

/** What JSON cannot carry without changing it, and where it is. */
export class UnencodableError extends Error {
  constructor(
    readonly path: string,
    readonly fault: string,
  ) {
    super(`${path} ${fault}`);
    this.name = 'UnencodableError';
  }
}

/**
 * The JSON of an object, or an {@link UnencodableError} where JSON would silently change or drop a value: NaN and
 * Infinity, BigInt, functions, symbols, undefined in arrays, Map, Set, binary data, invalid dates, circular references.
 * A property that is undefined counts as absent.
 */
export function encodeJson(value: object): string {
  try {
    check(value, '', 0);
    return JSON.stringify(value);
  } catch (cause) {
    if (cause instanceof UnencodableError) throw cause;
    throw new UnencodableError(
      'the object',
      `cannot be encoded: ${cause instanceof Error ? cause.message : 'a getter or toJSON threw'}`,
    );
  }
}

function check(value: unknown, path: string, depth: number): void {
  switch (typeof value) {
    case 'string':
    case 'boolean':
    case 'undefined':
      return;
    case 'number':
      if (!Number.isFinite(value)) throw new UnencodableError(path, `is ${value}, which JSON cannot carry`);
      return;
    case 'object':
      if (value !== null) checkObject(value, path, depth);
      return;
    default:
      throw new UnencodableError(path, `is a ${typeof value}, which JSON cannot carry`);
  }
}

function checkObject(value: object, path: string, depth: number): void {
  if (depth > MAX_DEPTH) {
    throw new UnencodableError(path.slice(0, 64), `is nested deeper than ${MAX_DEPTH} levels, or circular`);
  }
  if (ArrayBuffer.isView(value))
    throw new UnencodableError(path || 'the object', `is a ${value.constructor.name}, which JSON cannot carry`);
  if ('toJSON' in value && typeof value.toJSON === 'function') {
    checkReplacement(value as { toJSON(): unknown }, path, depth);
    return;
  }
  if (Array.isArray(value)) {
    for (let i = 0; i < value.length; i++) {
      if (value[i] === undefined) throw new UnencodableError(`${path}[${i}]`, 'is undefined, which JSON cannot carry');
      check(value[i], `${path}[${i}]`, depth + 1);
    }
    return;
  }
  if (isLossy(value))
    throw new UnencodableError(path || 'the object', `is a ${value.constructor.name}, which JSON cannot carry`);
  for (const name of Object.keys(value)) {
    check((value as Record<string, unknown>)[name], path === '' ? name : `${path}.${name}`, depth + 1);
  }
}

/** What stands in the place of an object with a toJSON of its own. */
function checkReplacement(value: { toJSON(): unknown }, path: string, depth: number): void {
  if (value instanceof Date) {
    if (Number.isNaN(value.getTime())) throw new UnencodableError(path, 'is an invalid date');
    return;
  }
  const replacement = value.toJSON();
  if (replacement === undefined) throw new UnencodableError(path || 'the object', 'has a toJSON that gives nothing');
  check(replacement, path, depth + 1);
}

function isLossy(value: object): boolean {
  const prototype: unknown = Object.getPrototypeOf(value);
  if (prototype === Object.prototype || prototype === null) return false;
  return (
    value instanceof Map ||
    value instanceof Set ||
    value instanceof WeakMap ||
    value instanceof WeakSet ||
    value instanceof Promise ||
    value instanceof RegExp ||
    value instanceof Error ||
    value instanceof ArrayBuffer ||
    ArrayBuffer.isView(value)
  );
}
