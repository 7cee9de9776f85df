import { describe, expect, test } from '@jest/globals';
import { TICKET_LIFE_MS, Tickets } from '../../src/access/tickets.js';

const ANN = { userName: 'ann', keys: ['meter/5'] };
const PATH = '/ws/rowdata/meter/5/ann';

function ticketsAt(clock: { ms: number }): { tickets: Tickets; ticket: string } {
  const tickets = new Tickets(() => clock.ms);
  return { tickets, ticket: tickets.issue(ANN, PATH) ?? '' };
}

describe('Tickets', () => {
  test('one is good once, for its principal', () => {
    const { tickets, ticket } = ticketsAt({ ms: 0 });
    expect(tickets.redeem(ticket, PATH)).toBe(ANN);
    expect(tickets.redeem(ticket, PATH)).toBeUndefined();
    expect(tickets.look(ticket, PATH)).toBeUndefined();
  });

  test('looking at one does not use it up', () => {
    const { tickets, ticket } = ticketsAt({ ms: 0 });
    expect(tickets.look(ticket, PATH)).toBe(ANN);
    expect(tickets.look(ticket, PATH)).toBe(ANN);
    expect(tickets.redeem(ticket, PATH)).toBe(ANN);
  });

  test('it is good for 30 s', () => {
    const clock = { ms: 1_000_000 };
    const { tickets, ticket } = ticketsAt(clock);
    expect(TICKET_LIFE_MS).toBe(30_000);
    clock.ms += 29_999;
    expect(tickets.look(ticket, PATH)).toBe(ANN);
    clock.ms += 1;
    expect(tickets.look(ticket, PATH)).toBeUndefined();
    expect(tickets.redeem(ticket, PATH)).toBeUndefined();
  });

  test.each(['/ws/rowdata/meter/6/ann', '/ws/alarm', `${PATH}/`, '/ws/rowdata/%6deter/5/ann', ''])(
    'on the path %j it is worth nothing, and is used up',
    (path) => {
      const { tickets, ticket } = ticketsAt({ ms: 0 });
      expect(tickets.look(ticket, path)).toBeUndefined();
      expect(tickets.look(ticket, PATH)).toBe(ANN);
      expect(tickets.redeem(ticket, path)).toBeUndefined();
      expect(tickets.redeem(ticket, PATH)).toBeUndefined();
    },
  );

  test.each(['', 'x', '__proto__', 'undefined'])('a made-up one is none: %j', (ticket) => {
    const { tickets } = ticketsAt({ ms: 0 });
    expect(tickets.redeem(ticket, PATH)).toBeUndefined();
  });

  test('none is like another, and each fits a URL', () => {
    const tickets = new Tickets(() => 0);
    const issued = Array.from({ length: 1000 }, () => tickets.issue(ANN, PATH));
    expect(new Set(issued).size).toBe(1000);
    for (const ticket of issued) expect(ticket).toMatch(/^[A-Za-z0-9_-]{32}$/);
  });

  test('100,000 may be open; those that have expired make room', () => {
    const clock = { ms: 0 };
    const tickets = new Tickets(() => clock.ms);
    for (let n = 0; n < 100_000; n++) tickets.issue(ANN, PATH);
    expect(tickets.issue(ANN, PATH)).toBeUndefined();
    clock.ms = 30_000;
    const ticket = tickets.issue(ANN, PATH) ?? '';
    expect(tickets.redeem(ticket, PATH)).toBe(ANN);
  });
});
