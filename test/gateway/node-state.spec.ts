import { expect, test } from '@jest/globals';
import { NodeState } from '../../src/gateway/node-state.js';

test('a node starts, serves, leaves and drains, and there is no way back', () => {
  const state = new NodeState();
  expect([state.phase, state.isServing]).toEqual(['starting', false]);
  state.enter('serving');
  expect([state.phase, state.isServing]).toEqual(['serving', true]);
  state.enter('leaving');
  state.enter('serving');
  expect([state.phase, state.isServing]).toEqual(['leaving', true]);
  state.enter('draining');
  state.enter('leaving');
  expect([state.phase, state.isServing]).toEqual(['draining', false]);
});

test('a node that never served can drain', () => {
  const state = new NodeState();
  state.enter('draining');
  state.enter('serving');
  expect(state.isServing).toBe(false);
});
