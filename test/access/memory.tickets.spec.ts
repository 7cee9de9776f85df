import { expect, test } from '@jest/globals';
import { MemoryTickets } from '../../src/access/memory.tickets.js';
import { TICKET_LIFE_MS } from '../../src/access/tickets.js';

const PATH = '/ws/rowdata/meter/5/ann';
const ANN = { userName: 'ann' };

test('a ticket is good for 30 s, to the millisecond', async () => {
  const clock = { ms: 1_700_000_000_000 };
  const tickets = new MemoryTickets(() => clock.ms);
  const ticket = (await tickets.issue(ANN, PATH)) ?? '';
  expect(TICKET_LIFE_MS).toBe(30_000);
  clock.ms += 29_999;
  expect(await tickets.look(ticket, PATH)).toBe(ANN);
  clock.ms += 1;
  expect(await tickets.look(ticket, PATH)).toBeUndefined();
  expect(await tickets.redeem(ticket, PATH)).toBeUndefined();
});

test('100,000 may be open; those that have expired make room', async () => {
  const clock = { ms: 0 };
  const tickets = new MemoryTickets(() => clock.ms);
  for (let n = 0; n < 100_000; n++) await tickets.issue(ANN, PATH);
  expect(await tickets.issue(ANN, PATH)).toBeUndefined();
  clock.ms = 30_000;
  const ticket = (await tickets.issue(ANN, PATH)) ?? '';
  expect(await tickets.redeem(ticket, PATH)).toBe(ANN);
});
