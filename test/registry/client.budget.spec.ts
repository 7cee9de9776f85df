import { afterEach, beforeEach, describe, expect, jest, test } from '@jest/globals';
import { ClientBudget } from '../../src/registry/client.budget.js';

let nowMs: number;

beforeEach(() => {
  nowMs = 1_000_000;
  jest.spyOn(performance, 'now').mockImplementation(() => nowMs);
});

afterEach(() => void jest.restoreAllMocks());

describe('ClientBudget', () => {
  const alice = {};
  const bob = {};

  test.each([
    ['40 seconds', 5],
    ['twice what a client may have subscribed to', 200],
  ])('has room for %s at once, and then at its rate', (_, maxSubscriptionsPerClient) => {
    const budget = new ClientBudget({ maxKeysPerSecond: 10, maxSubscriptionsPerClient });
    budget.spend(alice, 400);
    expect(budget.isExceeded(alice)).toBe(false);
    budget.spend(alice, 1);
    expect(budget.isExceeded(alice)).toBe(true);
    nowMs += 100;
    expect(budget.isExceeded(alice)).toBe(false);
  });

  test('what was more than there was room for is owed', () => {
    const budget = new ClientBudget({ maxKeysPerSecond: 10, maxSubscriptionsPerClient: 5 });
    budget.spend(alice, 420);
    nowMs += 1900;
    expect(budget.isExceeded(alice)).toBe(true);
    nowMs += 100;
    expect(budget.isExceeded(alice)).toBe(false);
  });

  test('is each client its own', () => {
    const budget = new ClientBudget({ maxKeysPerSecond: 1, maxSubscriptionsPerClient: 1 });
    budget.spend(alice, 1000);
    expect(budget.isExceeded(alice)).toBe(true);
    expect(budget.isExceeded(bob)).toBe(false);
  });
});
