import { type DynamicModule, Inject, Logger, Module, type WebSocketAdapter } from '@nestjs/common';
import { ApplicationConfig, HttpAdapterHost, ModuleRef, ModulesContainer } from '@nestjs/core';
import { AnonymousAuthenticator } from './access/anonymous.authenticator.js';
import { Authenticator } from './access/authenticator.js';
import { withoutTokens } from './access/bearer.token.js';
import { ExistingAuthenticator, ExistingAuthorizer } from './access/existing.js';
import { GuardedAuthorizer } from './access/guarded.authorizer.js';
import { ClaimsAuthorizer, PushAuthorizer } from './access/push.authorizer.js';
import { REVOCATIONS } from './access/revocations.js';
import { TICKETS } from './access/tickets.js';
import { ConnectionLimits } from './access/connection-limits.js';
import { ALARM_LOG } from './alarm-log/alarm-log.js';
import { SUBSCRIPTION_STORE } from './alarm-log/subscription-store.js';
import { RAW_DATA_BUS } from './bus/bus.js';
import { CLUSTER } from './bus/cluster.js';
import { LAST_VALUE_STORE } from './bus/last-value.store.js';
import { FlushQueue } from './fan-out/flush-queue.js';
import { LastValues } from './fan-out/last-values.js';
import { RawDataRouter } from './fan-out/raw-data.router.js';
import { AlarmGateway } from './gateway/alarm.gateway.js';
import { ClientPlacing } from './gateway/client.placing.js';
import { Connections } from './gateway/connections.js';
import { Drain } from './gateway/drain.js';
import { GatewayRoutes } from './gateway/gateway.routes.js';
import { Heartbeat } from './gateway/heartbeat.js';
import { NodeState } from './gateway/node-state.js';
import { PlainGetRoute } from './gateway/plain-get.route.js';
import { PrincipalCheck } from './gateway/principal.check.js';
import { PushWsAdapter } from './gateway/push-ws.adapter.js';
import { RawDataGateway } from './gateway/raw-data.gateway.js';
import { TicketOffice } from './gateway/ticket.office.js';
import { TokenRefresh } from './gateway/token.refresh.js';
import { UnfinishedMessages } from './gateway/unfinished.messages.js';
import { UpgradeGate } from './gateway/upgrade.gate.js';
import { AuditTrail } from './observe/audit.trail.js';
import { NodeHealth } from './observe/node.health.js';
import { Backends } from './push.backends.js';
import { stackOf } from './push.causes.js';
import { CLOCK, type Clock } from './push.clock.js';
import { PushConfigurationError } from './push.errors.js';
import {
  type ASYNC_OPTIONS_TYPE,
  ConfigurableModuleClass,
  type OPTIONS_TYPE,
  PUSH_MODULE_OPTIONS,
} from './push.module-definition.js';
import { OBSERVERS } from './push.observers.js';
import { isUseExisting, type PushModuleOptions, PushOptions, resolvePushOptions } from './push.options.js';
import { PushService } from './push.service.js';
import { AlarmPages } from './registry/alarm.pages.js';
import { AlarmPlaces } from './registry/alarm.places.js';
import { AlarmRegistry } from './registry/alarm.registry.js';
import { AlarmTail } from './registry/alarm.tail.js';
import { ClientList } from './registry/client.list.js';
import { ClusterService } from './registry/cluster.service.js';
import { Degradation } from './registry/degradation.js';
import { DurableSubscriptions } from './registry/durable.subscriptions.js';
import { RawDataCoverage } from './registry/raw-data.coverage.js';
import { GuardedDeliveryFilter } from './registry/guarded.delivery-filter.js';
import { RawDataRegistry } from './registry/raw-data.registry.js';
import { RawDataSubscriptions } from './registry/raw-data.subscriptions.js';
import { Sessions } from './registry/sessions.js';

/**
 * The push gateway in an application: both gateways on the application's own HTTP server, and {@link PushService} to
 * inject. Import it once, with {@link PushModule.forRoot} or {@link PushModule.forRootAsync}.
 */
@Module({
  providers: [
    { provide: PushOptions, inject: [PUSH_MODULE_OPTIONS], useFactory: resolvePushOptions },
    // Looked up at each call, so that fake timers of a test that began after the import count too.
    { provide: CLOCK, useValue: () => Date.now() },
    { provide: FlushQueue, inject: [PushOptions], useFactory: (options: PushOptions) => new FlushQueue(options) },
    {
      provide: ConnectionLimits,
      inject: [PushOptions],
      useFactory: (options: PushOptions) => new ConnectionLimits(options),
    },
    {
      provide: Authenticator,
      inject: [PushOptions, ModuleRef],
      useFactory: ({ authenticator, allowAnonymous }: PushOptions, moduleRef: ModuleRef) =>
        isUseExisting(authenticator)
          ? new ExistingAuthenticator(() => moduleRef.get(authenticator.useExisting, { strict: false }))
          : (authenticator ?? new AnonymousAuthenticator(allowAnonymous)),
    },
    {
      provide: PushAuthorizer,
      inject: [PushOptions, ModuleRef],
      useFactory: ({ authorizer }: PushOptions, moduleRef: ModuleRef) =>
        isUseExisting(authorizer)
          ? new ExistingAuthorizer(() => moduleRef.get(authorizer.useExisting, { strict: false }))
          : (authorizer ?? new ClaimsAuthorizer()),
    },
    {
      provide: GuardedAuthorizer,
      inject: [PushAuthorizer],
      useFactory: (authorizer: PushAuthorizer) => new GuardedAuthorizer(authorizer, reportAuthorizer),
    },
    ...OBSERVERS,
    Sessions,
    TokenRefresh,
    UnfinishedMessages,
    Connections,
    {
      provide: Backends,
      inject: [PushOptions, CLOCK],
      useFactory: (options: PushOptions, now: Clock) => Backends.open(options, now),
    },
    { provide: ALARM_LOG, inject: [Backends], useFactory: ({ ports }: Backends) => ports.alarmLog },
    { provide: SUBSCRIPTION_STORE, inject: [Backends], useFactory: ({ ports }: Backends) => ports.subscriptions },
    { provide: RAW_DATA_BUS, inject: [Backends], useFactory: ({ ports }: Backends) => ports.bus },
    { provide: CLUSTER, inject: [Backends], useFactory: ({ ports }: Backends) => ports.cluster },
    { provide: LAST_VALUE_STORE, inject: [Backends], useFactory: ({ ports }: Backends) => ports.lastValues },
    { provide: LastValues, inject: [PushOptions], useFactory: (options: PushOptions) => new LastValues(options) },
    { provide: TICKETS, inject: [Backends], useFactory: ({ ports }: Backends) => ports.tickets },
    { provide: REVOCATIONS, inject: [Backends], useFactory: ({ ports }: Backends) => ports.revocations },
    NodeState,
    GatewayRoutes,
    PrincipalCheck,
    ClientPlacing,
    UpgradeGate,
    TicketOffice,
    PlainGetRoute,
    RawDataCoverage,
    {
      provide: RawDataRouter,
      inject: [RawDataCoverage],
      useFactory: (coverage: RawDataCoverage) => new RawDataRouter(coverage),
    },
    GuardedDeliveryFilter,
    RawDataSubscriptions,
    RawDataRegistry,
    AlarmRegistry,
    Degradation,
    AlarmPages,
    AlarmPlaces,
    AlarmTail,
    DurableSubscriptions,
    ClientList,
    ClusterService,
    RawDataGateway,
    AlarmGateway,
    PushService,
    Heartbeat,
    Drain,
  ],
  exports: [
    PushService,
    RawDataRegistry,
    AlarmRegistry,
    ClientList,
    ClusterService,
    PushOptions,
    ALARM_LOG,
    NodeState,
    NodeHealth,
    Authenticator,
    PushAuthorizer,
    TicketOffice,
    AuditTrail,
  ],
})
export class PushModule extends ConfigurableModuleClass {
  constructor(
    applicationConfig: ApplicationConfig,
    httpAdapterHost: HttpAdapterHost,
    moduleRef: ModuleRef,
    @Inject(ModulesContainer) modules: ModulesContainer,
  ) {
    super();
    assertImportedOnce(modules);
    // Before the application can set one itself: that one replaces this.
    const isAdapterSet = (applicationConfig.getIoAdapter() as WebSocketAdapter | null) !== null;
    if (!isAdapterSet) {
      applicationConfig.setIoAdapter(
        new PushWsAdapter({
          getHttpServer: () => httpAdapterHost.httpAdapter.getHttpServer() as unknown,
          get: (token, options) => moduleRef.get(token, options),
        }),
      );
    }
  }

  /** Every option has a default, see {@link PushOptions}. A second call in one application is an error at boot. */
  static override forRoot(options: typeof OPTIONS_TYPE = {}): DynamicModule {
    return super.forRoot(options);
  }

  /** As {@link forRoot}, with `useFactory`, `useClass` or `useExisting` (a class with `createPushOptions()`). */
  static override forRootAsync(options: typeof ASYNC_OPTIONS_TYPE): DynamicModule {
    return super.forRootAsync(options);
  }
}

/** Implemented by a class given to `forRootAsync({ useClass })`. */
export interface PushOptionsFactory {
  createPushOptions(): PushModuleOptions | Promise<PushModuleOptions>;
}

function reportAuthorizer(cause: unknown): void {
  const stack = withoutTokens(stackOf(cause));
  new Logger(PushModule.name).error(`the authorizer failed, and was taken for a refusal: ${stack}`);
}

/** Two of them would be two gateways on one path, and every event would fire twice. */
function assertImportedOnce(modules: ModulesContainer): void {
  const imported = [...modules.values()].filter(({ metatype }) => metatype === PushModule);
  if (imported.length > 1) {
    throw new PushConfigurationError([
      'PushModule.forRoot was called more than once in this application: call it in the root module only, ' +
        'and let the other modules import that one or a module that re-exports PushModule',
    ]);
  }
}
