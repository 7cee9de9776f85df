import { AlarmNotAcceptedError, PUSH_V1 } from '../../src/index.js';
import type { TestGateway } from './gateway.fixture.js';
import { PushClient, type PushMessage } from './push.client.js';

/** How soon a Redis that is back has to be used again. */
export const RETURN_MS = 10_000;

export const numbers = (from: number, to: number) => Array.from({ length: to - from + 1 }, (_, i) => from + i);

export async function connect(node: TestGateway, query = ''): Promise<{ client: PushClient; ready: PushMessage }> {
  const client = await PushClient.connect(node.url(`/ws/alarm${query}`), {}, [PUSH_V1]);
  return { client, ready: await client.nextEvent('ready') };
}

/** The next message, which has to be of this event; that Redis is away is another matter. */
export async function next(client: PushClient, event: string): Promise<PushMessage> {
  for (;;) {
    const message = await client.nextMessage(RETURN_MS);
    if (message.event === event) return message;
    if (message.event !== 'degraded') throw new Error(`expected ${event}, got ${JSON.stringify(message)}`);
  }
}

/** The next so many alarms, by number, and the id of the last. */
export async function hear(client: PushClient, count: number): Promise<{ heard: unknown[]; id: string }> {
  const heard: unknown[] = [];
  let id = '';
  while (heard.length < count) {
    const message = await next(client, 'alarm');
    heard.push(message.data['n']);
    ({ id = '' } = message);
  }
  return { heard, id };
}

export const push = (node: TestGateway, n: number) => node.push.pushAlarm({ businessId: '1', n, eventId: `e${n}` });

/** Pushes until it is accepted, as an application that gets `rejected` or `unknown` does; gives what it got before. */
export async function pushUntilAccepted(node: TestGateway, n: number): Promise<string[]> {
  const outcomes: string[] = [];
  for (;;) {
    try {
      await push(node, n);
      return outcomes;
    } catch (cause) {
      if (!(cause instanceof AlarmNotAcceptedError)) throw cause;
      outcomes.push(cause.outcome);
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }
}
