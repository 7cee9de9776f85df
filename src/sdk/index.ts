export { type AfterClose, type CloseCode, CloseCodes } from '../protocol/close-codes.js';
export type {
  ExceptionCode,
  GapReason,
  KeyAddress,
  RefusalReason,
  RefusedKey,
  ServerEvents,
  SubscriptionRequest,
} from '../protocol/messages.js';
export { type AlarmConnection, connectAlarms } from './alarm.connection.js';
export type { PushConnection } from './connection.js';
export type { Source } from './credentials.js';
export type {
  Alarm,
  AlarmEvents,
  AlarmMessage,
  ConnectionEvents,
  ConnectionState,
  PushMessage,
  RawDataEvents,
  RawDatum,
  SocketClose,
  StateChange,
} from './events.js';
export type { AlarmFilters, AlarmOptions, ConnectionOptions, RawDataAddress, RawDataOptions } from './options.js';
export type { PlaceStorage } from './place.js';
export { PushClientError, type PushClientErrorDetails, type PushClientFault } from './push-client.error.js';
export { connectRawData, type RawDataConnection } from './raw-data.connection.js';
export { type SharedRawData, sharedRawData } from './shared-raw-data.js';
export type { KeysResult } from './subscriptions.js';
export type { WebSocketConstructor, WebSocketLike } from './surroundings.js';
