import { MAX_FREQUENCY_HZ } from '../protocol/client-message.js';
import type { SubscriptionRequest } from '../protocol/messages.js';
import type { Refusal } from './refusal.js';

/** What the query of the raw-data path asks of the path's own key. */
export type SubscriptionQuery = Pick<SubscriptionRequest, 'maxFrequencyHz' | 'snapshot' | 'history'>;

/** Reads `maxFrequencyHz`, `snapshot` and `history`. */
export function parseSubscription(query: URLSearchParams): SubscriptionQuery | Refusal {
  const subscription: SubscriptionQuery = {};
  const maxFrequencyHz = query.get('maxFrequencyHz');
  if (maxFrequencyHz !== null) {
    const hz = /^\d*\.?\d+$/.test(maxFrequencyHz) ? Number(maxFrequencyHz) : Number.NaN;
    if (!(hz > 0 && hz <= MAX_FREQUENCY_HZ)) {
      return fault(`maxFrequencyHz must be greater than 0 and at most ${MAX_FREQUENCY_HZ}`);
    }
    subscription.maxFrequencyHz = hz;
  }
  const snapshot = query.get('snapshot');
  if (snapshot !== null && snapshot !== 'true' && snapshot !== 'false') return fault('snapshot must be true or false');
  if (snapshot !== null) subscription.snapshot = snapshot === 'true';
  const history = query.get('history');
  if (history !== null && !/^\d{1,9}$/.test(history)) return fault('history must be a whole number of values');
  if (history !== null) subscription.history = Number(history);
  return subscription;
}

function fault(message: string): Refusal {
  return { status: 400, error: 'parameter', message };
}
