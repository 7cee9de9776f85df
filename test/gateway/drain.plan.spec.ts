import { describe, expect, test } from '@jest/globals';
import { planDepartures } from '../../src/gateway/drain.plan.js';

const clients = (count: number, name = 'c') => Array.from({ length: count }, (_, index) => `${name}${index}`);

test('without clients there is nothing to wait for', () => {
  expect(planDepartures([[], []], 5000)).toEqual([]);
});

test.each([1, 5, 10])('%d clients leave at once', (count) => {
  const portions = planDepartures([clients(count)], 5000);
  expect(portions.map(({ startsAfterMs }) => startsAfterMs)).toEqual([0]);
  expect(portions.flatMap(({ departures }) => departures.map(({ client }) => client))).toEqual(clients(count));
});

test('a window of 0 closes all at once, and all may come back at once', () => {
  const portions = planDepartures([clients(1000)], 0);
  expect(portions).toHaveLength(1);
  expect(new Set(portions[0]?.departures.map(({ retryAfterMs }) => retryAfterMs))).toEqual(new Set([0]));
});

test('a window shorter than a portion is one portion, spread over it', () => {
  const portions = planDepartures([clients(1000)], 40);
  expect(portions.map(({ startsAfterMs }) => startsAfterMs)).toEqual([0]);
  expect(portions[0]?.departures.at(-1)?.retryAfterMs).toBe(39);
});

describe.each([
  { count: 11, windowMs: 5000, portions: 2 },
  { count: 123, windowMs: 5000, portions: 13 },
  { count: 500, windowMs: 5000, portions: 50 },
  { count: 10_000, windowMs: 5000, portions: 50 },
  { count: 9_999, windowMs: 1050, portions: 10 },
])('$count clients in $windowMs ms', ({ count, windowMs, portions: expected }) => {
  const portions = planDepartures([clients(count)], windowMs);
  const departures = portions.flatMap((portion) => portion.departures);

  test('leave in even portions, every 100 ms', () => {
    expect(portions.map(({ startsAfterMs }) => startsAfterMs)).toEqual(
      Array.from({ length: expected }, (_, portion) => portion * 100),
    );
    const sizes = portions.map((portion) => portion.departures.length);
    expect(Math.max(...sizes) - Math.min(...sizes)).toBeLessThanOrEqual(1);
  });

  test('each once, in their order', () => {
    expect(departures.map(({ client }) => client)).toEqual(clients(count));
  });

  test('come back evenly, nobody before its portion leaves nor after the next one does', () => {
    const spanMs = expected * 100;
    const offEven = departures.filter(
      ({ retryAfterMs }, index) => Math.abs(retryAfterMs - (index * spanMs) / count) > 1,
    );
    const offPortion = portions.flatMap(({ startsAfterMs, departures: leaving }) =>
      leaving.filter(({ retryAfterMs }) => retryAfterMs < startsAfterMs || retryAfterMs >= startsAfterMs + 100),
    );
    expect([offEven, offPortion]).toEqual([[], []]);
  });
});

test('each kind of client is spread over the whole window', () => {
  const portions = planDepartures([clients(300, 'alarm'), clients(3000, 'raw')], 3000);
  for (const { departures } of portions) {
    const alarms = departures.filter(({ client }) => client.startsWith('alarm')).length;
    expect(Math.abs(alarms - 10)).toBeLessThanOrEqual(1);
    expect(Math.abs(departures.length - 110)).toBeLessThanOrEqual(1);
  }
});
