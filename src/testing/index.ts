export { connectTestClient, UpgradeRefusedError } from './connect.test.client.js';
export type { TestClientOptions, TestTarget } from './connect.test.client.js';
export { until, within } from './deadline.js';
export { FakePushService } from './fake.push.service.js';
export type {
  AlarmLogOutcome,
  FakePushServiceOptions,
  Matches,
  RecordedAlarm,
  RecordedDisconnect,
  RecordedRawDatum,
} from './fake.push.service.js';
export { PushTestingModule } from './push.testing.module.js';
export { TestClient } from './test.client.js';
export type { ClientSocket, CloseEvent, ServerMessage } from './test.client.js';
export { TestClock } from './test.clock.js';
