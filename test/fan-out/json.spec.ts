import { describe, expect, test } from '@jest/globals';
import { encodeJson, UnencodableError } from '../../src/fan-out/json.js';

function errorOf(encode: () => unknown): UnencodableError {
  try {
    encode();
  } catch (cause) {
    if (cause instanceof UnencodableError) return cause;
    throw cause;
  }
  throw new Error('it was encoded');
}

function nested(depth: number): object {
  let value: object = {};
  for (let i = 0; i < depth; i++) value = { a: value };
  return value;
}

const circular: Record<string, unknown> = { a: {} };
circular['b'] = [circular];

describe('what JSON carries', () => {
  test.each<[string, object, string]>([
    [
      'plain values',
      { a: 1, b: 'x', c: true, d: null, e: [1, 'x', null] },
      '{"a":1,"b":"x","c":true,"d":null,"e":[1,"x",null]}',
    ],
    ['an undefined property counts as absent', { a: undefined, b: 1 }, '{"b":1}'],
    ['a date', { at: new Date(0) }, '{"at":"1970-01-01T00:00:00.000Z"}'],
    ['its own toJSON', { v: { toJSON: () => ({ x: 1 }) } }, '{"v":{"x":1}}'],
    [
      'an instance of a class',
      {
        v: new (class Reading {
          value = 1;
        })(),
      },
      '{"v":{"value":1}}',
    ],
    ['an object without prototype', Object.assign(Object.create(null) as object, { a: 1 }), '{"a":1}'],
    [
      'numbers at their limits',
      { a: Number.MAX_VALUE, b: Number.MIN_VALUE, c: -0 },
      '{"a":1.7976931348623157e+308,"b":5e-324,"c":0}',
    ],
    ['a lone surrogate, escaped', { a: '\ud800' }, String.raw`{"a":"\ud800"}`],
    ['an own __proto__', JSON.parse('{"__proto__":{"a":1}}') as object, '{"__proto__":{"a":1}}'],
    ['the same object twice', ((shared) => ({ a: shared, b: shared }))({ x: 1 }), '{"a":{"x":1},"b":{"x":1}}'],
    ['64 levels below the top', nested(64), JSON.stringify(nested(64))],
  ])('%s', (_, value, json) => {
    expect(encodeJson(value)).toBe(json);
  });
});

describe('what JSON cannot carry', () => {
  test.each<[string, object, string, string]>([
    ['NaN', { v: Number.NaN }, 'v', 'NaN'],
    ['Infinity', { v: { w: Infinity } }, 'v.w', 'Infinity'],
    ['-Infinity in an array', { v: [1, -Infinity] }, 'v[1]', '-Infinity'],
    ['a BigInt', { v: 1n }, 'v', 'bigint'],
    ['a function', { v: () => 1 }, 'v', 'function'],
    ['a class', { v: Map }, 'v', 'function'],
    ['a symbol', { v: Symbol('s') }, 'v', 'symbol'],
    ['undefined in an array', { v: [1, undefined] }, 'v[1]', 'undefined'],
    // oxlint-disable-next-line no-sparse-arrays
    ['a hole in an array', { v: [1, , 2] }, 'v[1]', 'undefined'],
    ['a Map', { v: new Map([['a', 1]]) }, 'v', 'Map'],
    ['a Set', { v: { w: [new Set([1])] } }, 'v.w[0]', 'Set'],
    ['a WeakMap', { v: new WeakMap() }, 'v', 'WeakMap'],
    ['a promise', { v: Promise.resolve(1) }, 'v', 'Promise'],
    ['a regular expression', { v: /x/ }, 'v', 'RegExp'],
    ['an error', { v: new Error('x') }, 'v', 'Error'],
    ['a typed array', { v: new Float64Array(2) }, 'v', 'Float64Array'],
    ['an ArrayBuffer', { v: new ArrayBuffer(2) }, 'v', 'ArrayBuffer'],
    ['a DataView', { v: new DataView(new ArrayBuffer(2)) }, 'v', 'DataView'],
    ['a Buffer', { v: Buffer.from('ab') }, 'v', 'Buffer'],
    ['an invalid date', { v: new Date(Number.NaN) }, 'v', 'date'],
    ['NaN that toJSON returns', { v: { toJSON: () => Number.NaN } }, 'v', 'NaN'],
    ['a Map itself', new Map(), 'the object', 'Map'],
    ['65 levels below the top', nested(65), 'a.a.a', 'deeper'],
    ['10,000 levels', nested(10_000), 'a.a.a', 'deeper'],
    ['a circle', circular, 'b[0].b[0]', 'circular'],
  ])('%s', (_, value, path, fault) => {
    const error = errorOf(() => encodeJson(value));
    expect(error.path.startsWith(path)).toBe(true);
    expect(error.fault).toContain(fault);
    expect(error.path.length).toBeLessThanOrEqual(64);
  });

  test.each<[string, object]>([
    [
      'a getter that throws',
      {
        get v() {
          throw new Error('no');
        },
      },
    ],
    [
      'a toJSON that throws',
      {
        v: {
          toJSON: () => {
            throw new Error('no');
          },
        },
      },
    ],
    [
      'a toJSON that throws no Error',
      {
        v: {
          toJSON: () => {
            throw undefined;
          },
        },
      },
    ],
    ['an object that toJSON makes nothing of', { toJSON: () => undefined }],
    ['an object that toJSON makes a function of', { toJSON: () => () => 1 }],
    [
      'a revoked proxy',
      ((): object => {
        const { proxy, revoke } = Proxy.revocable({}, {});
        revoke();
        return { v: proxy };
      })(),
    ],
  ])('%s', (_, value) => {
    expect(errorOf(() => encodeJson(value))).toBeInstanceOf(UnencodableError);
  });
});
