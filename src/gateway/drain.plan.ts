/** Portions leave this far apart, … */
const PORTION_INTERVAL_MS = 100;
/** … and as few of so many clients that spreading them further would only delay the end: 100 reconnects a second. */
const MIN_PORTION_CLIENTS = 10;

/** One client's part in the end of its node. */
export interface Departure<C> {
  readonly client: C;
  /** When it is to connect again, counted from the beginning; not before its portion leaves. */
  readonly retryAfterMs: number;
}

/** Clients that leave together. */
export interface Portion<C> {
  readonly startsAfterMs: number;
  readonly departures: readonly Departure<C>[];
}

/**
 * Spreads clients evenly over at most `windowMs`, in portions, so that they do not come back in one moment. The kinds of
 * clients are mixed, so that each is spread as well. A few clients leave at once.
 */
export function planDepartures<C>(kinds: readonly (readonly C[])[], windowMs: number): Portion<C>[] {
  const clients = mixed(kinds);
  const intervalMs = Math.min(PORTION_INTERVAL_MS, windowMs);
  const fitting = intervalMs === 0 ? 1 : Math.floor(windowMs / intervalMs);
  const count = Math.min(fitting, Math.ceil(clients.length / MIN_PORTION_CLIENTS));
  const spanMs = count * intervalMs;
  const departures = clients.map((client, index) => ({
    client,
    retryAfterMs: Math.floor((spanMs * index) / clients.length),
  }));
  const boundary = (portion: number) => Math.ceil((portion * clients.length) / count);
  return Array.from({ length: count }, (_, portion) => ({
    startsAfterMs: portion * intervalMs,
    departures: departures.slice(boundary(portion), boundary(portion + 1)),
  }));
}

/** All in one line, each kind spread over its whole length. */
function mixed<C>(kinds: readonly (readonly C[])[]): C[] {
  return kinds
    .flatMap((clients) => clients.map((client, index) => ({ client, place: index / clients.length })))
    .toSorted((a, b) => a.place - b.place)
    .map(({ client }) => client);
}
