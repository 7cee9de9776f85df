import {
  type DynamicModule,
  Inject,
  Logger,
  Module,
  type OnApplicationShutdown,
  type WebSocketAdapter,
} from '@nestjs/common';
import { ApplicationConfig, HttpAdapterHost, ModuleRef, ModulesContainer } from '@nestjs/core';
import { AnonymousAuthenticator } from './access/anonymous.authenticator.js';
import { Authenticator } from './access/authenticator.js';
import { withoutTokens } from './access/bearer.token.js';
import { ExistingAuthenticator, ExistingAuthorizer } from './access/existing.js';
import { GuardedAuthorizer } from './access/guarded.authorizer.js';
import { ClaimsAuthorizer, PushAuthorizer } from './access/push.authorizer.js';
import { Revocations } from './access/revocations.js';
import { Tickets } from './access/tickets.js';
import { ConnectionLimits } from './access/connection-limits.js';
import { ALARM_LOG, type AlarmLog } from './alarm-log/alarm-log.js';
import { LmdbAlarmLog } from './alarm-log/lmdb.alarm-log.js';
import { LmdbEnvironment } from './alarm-log/lmdb.environment.js';
import { LmdbSubscriptionStore } from './alarm-log/lmdb.subscription-store.js';
import { MemoryAlarmLog } from './alarm-log/memory.alarm-log.js';
import { MemorySubscriptionStore } from './alarm-log/memory.subscription-store.js';
import { SUBSCRIPTION_STORE, type SubscriptionStore } from './alarm-log/subscription-store.js';
import { RAW_DATA_BUS } from './bus/bus.js';
import { InProcessBus } from './bus/in-process.bus.js';
import { FlushQueue } from './fan-out/flush-queue.js';
import { AlarmGateway } from './gateway/alarm.gateway.js';
import { Connections } from './gateway/connections.js';
import { Drain } from './gateway/drain.js';
import { GatewayRoutes } from './gateway/gateway.routes.js';
import { Heartbeat } from './gateway/heartbeat.js';
import { NodeState } from './gateway/node-state.js';
import { PlainGetRoute } from './gateway/plain-get.route.js';
import { PushWsAdapter } from './gateway/push-ws.adapter.js';
import { RawDataGateway } from './gateway/raw-data.gateway.js';
import { TicketOffice } from './gateway/ticket.office.js';
import { TokenRefresh } from './gateway/token.refresh.js';
import { UnfinishedMessages } from './gateway/unfinished.messages.js';
import { UpgradeGate } from './gateway/upgrade.gate.js';
import { AuditTrail } from './observe/audit.trail.js';
import { PushConfigurationError } from './push.errors.js';
import {
  type ASYNC_OPTIONS_TYPE,
  ConfigurableModuleClass,
  type OPTIONS_TYPE,
  PUSH_MODULE_OPTIONS,
} from './push.module-definition.js';
import { isUseExisting, type PushModuleOptions, PushOptions, resolvePushOptions } from './push.options.js';
import { PushService } from './push.service.js';
import { AlarmPages } from './registry/alarm.pages.js';
import { AlarmPlaces } from './registry/alarm.places.js';
import { AlarmRegistry } from './registry/alarm.registry.js';
import { AlarmTail } from './registry/alarm.tail.js';
import { DurableSubscriptions } from './registry/durable.subscriptions.js';
import { RawDataRegistry } from './registry/raw-data.registry.js';
import { Sessions } from './registry/sessions.js';

/** Where alarms and the cursors of durable subscriptions are kept; closed last, when nothing is pushed any more. */
class AlarmStorage implements OnApplicationShutdown {
  constructor(
    readonly log: AlarmLog,
    readonly subscriptions: SubscriptionStore,
    private readonly environment: LmdbEnvironment | undefined,
  ) {}

  async onApplicationShutdown(): Promise<void> {
    await this.log.close();
    await this.subscriptions.close();
    await this.environment?.close();
  }
}

async function openAlarmStorage(options: PushOptions): Promise<AlarmStorage> {
  const { alarmLogPath, alarmRetention: count, alarmRetentionHours: hours, alarmRetentionBytes: bytes } = options;
  const retention = { count, hours, bytes };
  const limits = { perUser: options.maxDurablePerUser, total: options.maxDurable };
  if (alarmLogPath === '') {
    return new AlarmStorage(new MemoryAlarmLog(retention), new MemorySubscriptionStore(limits), undefined);
  }
  const environment = await LmdbEnvironment.open(alarmLogPath);
  if (environment.setAside !== undefined) {
    new Logger(PushModule.name).error(
      `the alarm log was damaged and is kept as ${environment.setAside}: a new one has begun, and clients are told of the gap`,
    );
  }
  return new AlarmStorage(
    await LmdbAlarmLog.open({ environment, retention }),
    await LmdbSubscriptionStore.open(environment, limits),
    environment,
  );
}

/**
 * The push gateway in an application: both gateways on the application's own HTTP server, and {@link PushService} to
 * inject. Import it once, with {@link PushModule.forRoot} or {@link PushModule.forRootAsync}.
 */
@Module({
  providers: [
    { provide: PushOptions, inject: [PUSH_MODULE_OPTIONS], useFactory: resolvePushOptions },
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
    {
      provide: Revocations,
      inject: [PushOptions],
      useFactory: ({ revocationHours }: PushOptions) => new Revocations(revocationHours * 3_600_000),
    },
    { provide: Tickets, useFactory: () => new Tickets() },
    AuditTrail,
    Sessions,
    TokenRefresh,
    UnfinishedMessages,
    Connections,
    { provide: AlarmStorage, inject: [PushOptions], useFactory: openAlarmStorage },
    { provide: ALARM_LOG, inject: [AlarmStorage], useFactory: ({ log }: AlarmStorage) => log },
    {
      provide: SUBSCRIPTION_STORE,
      inject: [AlarmStorage],
      useFactory: ({ subscriptions }: AlarmStorage) => subscriptions,
    },
    { provide: RAW_DATA_BUS, useClass: InProcessBus },
    NodeState,
    GatewayRoutes,
    UpgradeGate,
    TicketOffice,
    PlainGetRoute,
    RawDataRegistry,
    AlarmRegistry,
    AlarmPages,
    AlarmPlaces,
    AlarmTail,
    DurableSubscriptions,
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
    PushOptions,
    ALARM_LOG,
    NodeState,
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
  const stack = withoutTokens(cause instanceof Error ? (cause.stack ?? cause.message) : String(cause));
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
