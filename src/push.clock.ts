/** Injection token of the {@link Clock}. */
export const CLOCK = Symbol('CLOCK');

/**
 * What time it is, in ms of Unix time. By it end sessions, tickets, revocations, and what the alarm log keeps; intervals and
 * deadlines do not go by it. `Date.now`, unless a test puts another in its place.
 */
export type Clock = () => number;
