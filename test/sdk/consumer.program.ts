// Not run: it says that the types are those that an application needs.
import { WebSocket } from 'ws';
import {
  connectAlarms,
  type ConnectionEvents,
  type ConnectionState,
  connectRawData,
  PushClientError,
  type PushConnection,
  sharedRawData,
} from '../../src/sdk/index.js';

interface Reading {
  businessType: string;
  businessId: string;
  value: number;
}

interface DoorAlarm {
  businessId: string;
  door: string;
}

export async function consume(): Promise<void> {
  const rawData = connectRawData<Reading>({ url: 'wss://push.test/ws/rowdata/a/b/c' });
  connectRawData({
    base: 'wss://push.test',
    businessType: 'a',
    businessId: 'b',
    userName: 'c',
    WebSocket,
  });
  rawData.on('rawData', ({ value }) => value.toFixed(2));
  rawData.on('state', ({ state, reason, retryInMs = 0, error }) => `${state} ${reason} ${retryInMs} ${error?.code}`);
  rawData.on('conflated', ({ count, sinceMs }) => count / sinceMs);
  // @ts-expect-error: alarms are not raw data
  rawData.on('alarm', () => {});
  // @ts-expect-error: nor is there such an event
  rawData.on('everything', () => {});
  // @ts-expect-error: an address is either whole or in parts
  connectRawData({ base: 'wss://push.test', businessType: 'a' });
  const { refused } = await rawData.subscribe([{ businessType: 'a', businessId: '*', maxFrequencyHz: 2 }]);
  for (const { reason } of refused) reason satisfies 'limit' | 'forbidden' | 'tooLarge';
  for await (const { value } of rawData) value.toFixed(2);

  const alarms = connectAlarms<DoorAlarm>({
    token: () => Promise.resolve('token'),
    storage: { get: () => Promise.resolve(null), set: (_key, place) => place.length },
  });
  alarms.on('alarm', async ({ door }, { id }) => void (door + id));
  alarms.on('gap', ({ reason }) => reason satisfies 'epoch' | 'retention' | 'ahead');
  alarms.on('error', (error) => error instanceof PushClientError && error.fault);
  for await (const { id, data } of alarms) alarms.ack({ id: id + data.door });

  for (const connection of [rawData, alarms]) connection.on('state', ({ state }) => state satisfies ConnectionState);
  showState(rawData);
  showState(alarms);

  sharedRawData<Reading>({ url: '/ws/rowdata/a/b/c' }).watch(
    { businessType: 'a', businessId: 'b' },
    ({ value }) => value,
  );
}

/** A component that does not care what is pushed. */
function showState(connection: PushConnection<ConnectionEvents, unknown>): void {
  connection.on('state', ({ state, previous }) => `${previous} ${state}`);
}
