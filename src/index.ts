export { Authenticator, AuthenticationError } from './access/authenticator.js';
export { JwtAuthenticator } from './access/jwt.authenticator.js';
export type { JwtOptions } from './access/jwt.authenticator.js';
export { ClaimsAuthorizer, PushAuthorizer } from './access/push.authorizer.js';
export type { RevocationTarget } from './access/revocations.js';
export type { Handshake } from './access/handshake.js';
export type { Principal } from './access/principal.js';
export { ALARM_LOG } from './alarm-log/alarm-log.js';
export type { SubscriptionId } from './alarm-log/subscription-store.js';
export type { AlarmEntry, AlarmFields, AlarmLog, AppendReceipt, LogBounds, NewAlarm } from './alarm-log/alarm-log.js';
export { formatCursor, parseCursor } from './protocol/cursor.js';
export type { Cursor } from './protocol/cursor.js';
export type { DeliveryMode } from './fan-out/conflating.backlog.js';
export type { PushTarget } from './fan-out/raw-data.router.js';
export { AlarmGateway } from './gateway/alarm.gateway.js';
export { NodeState } from './gateway/node-state.js';
export { PushWsAdapter } from './gateway/push-ws.adapter.js';
export type { ApplicationHost, PushWsAdapterOptions } from './gateway/push-ws.adapter.js';
export { TicketOffice } from './gateway/ticket.office.js';
export type { TicketAnswer } from './gateway/ticket.office.js';
export { RawDataGateway } from './gateway/raw-data.gateway.js';
export { CloseCodes } from './protocol/close-codes.js';
export type { AfterClose, CloseCode } from './protocol/close-codes.js';
export { PUSH_V1 } from './protocol/messages.js';
export type {
  ClientEvent,
  ClientEvents,
  ExceptionCode,
  GapReason,
  KeyAddress,
  ServerEvent,
  ServerEvents,
  SubscriptionRequest,
} from './protocol/messages.js';
export { CLOCK } from './push.clock.js';
export type { Clock } from './push.clock.js';
export {
  AlarmNotAcceptedError,
  ClusterUnavailableError,
  EventIdConflictError,
  InvalidPushError,
  PayloadTooLargeError,
  PushConfigurationError,
  PushError,
  RevocationNotStoredError,
  SubscriptionLimitError,
} from './push.errors.js';
export { PushModule } from './push.module.js';
export type { PushOptionsFactory } from './push.module.js';
export { CompressionOptions, PushOptions } from './push.options.js';
export type { DeliveryFilter, PushModuleOptions, SeriesOf, UseExisting } from './push.options.js';
export { PushService } from './push.service.js';
export type { Alarm, AlarmReceipt, NodePhase, PushRawDataOptions, PushResult, RawDatum } from './push.types.js';
export { AuditTrail } from './observe/audit.trail.js';
export type { LoopDelays } from './observe/loop.delay.js';
export type { Meter } from './observe/meter.js';
export { NodeHealth } from './observe/node.health.js';
export type { HealthReport, ReadinessCheck } from './observe/node.health.js';
export { AlarmRegistry } from './registry/alarm.registry.js';
export type { SubscriptionInfo } from './registry/durable.subscriptions.js';
export type { NodeInfo } from './bus/cluster.js';
export { ClusterService } from './registry/cluster.service.js';
export type { ClusterClient, ClusterClientsPage, NodeCounts } from './registry/cluster.service.js';
export { ClientList } from './registry/client.list.js';
export type { ClientsPage, ListedClient } from './registry/client.list.js';
export type { DisconnectTarget } from './registry/sessions.js';
export { RawDataRegistry } from './registry/raw-data.registry.js';
export type { ClientConnected, ClientDisconnected, ClientInfo, ClientSent } from './registry/client.registry.js';
