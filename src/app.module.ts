import { type DynamicModule, Module } from '@nestjs/common';
import { APP_FILTER } from '@nestjs/core';
import { ClientLibrary } from './app/demo/client.library.js';
import { DashboardController } from './app/demo/dashboard.controller.js';
import { HostSampler } from './app/demo/host.sampler.js';
import { HostTelemetry, TELEMETRY_TURN, type TelemetryTurn } from './app/demo/host.telemetry.js';
import { Environment, pushOptionsOf } from './app/environment.js';
import { AlarmController } from './app/http/alarm.controller.js';
import { ClientsController } from './app/http/clients.controller.js';
import { HealthController } from './app/http/health.controller.js';
import { HttpExceptionFilter } from './app/http/http-exception.filter.js';
import { MetricsController } from './app/http/metrics.controller.js';
import { RawDataController } from './app/http/raw-data.controller.js';
import { TicketController } from './app/http/ticket.controller.js';
import { Exposition } from './app/metrics/exposition.js';
import { NodeMetrics } from './app/metrics/node.metrics.js';
import { PushModule } from './push.module.js';

/** What is another in a worker. */
export interface AppParts {
  /** When the demo's telemetry begins. Absent: at once. */
  readonly telemetryTurn?: TelemetryTurn;
  /** What `GET /metrics` answers, where that is not what this process counts. */
  readonly expositionOf?: (own: Exposition) => Exposition;
}

/** The runnable node: the push gateways, their HTTP routes, and with `PUSH_DEMO` a data source and a dashboard. */
@Module({})
export class AppModule {
  static register(environment: Environment, { telemetryTurn, expositionOf }: AppParts = {}): DynamicModule {
    const { isDemo } = environment;
    const metrics = new NodeMetrics();
    return {
      module: AppModule,
      imports: [PushModule.forRoot({ ...pushOptionsOf(environment), meter: metrics.meter })],
      controllers: [
        RawDataController,
        AlarmController,
        ClientsController,
        HealthController,
        MetricsController,
        TicketController,
        ...(isDemo ? [DashboardController] : []),
      ],
      providers: [
        { provide: Environment, useValue: environment },
        { provide: Exposition, useValue: expositionOf?.(metrics) ?? metrics },
        { provide: APP_FILTER, useClass: HttpExceptionFilter },
        { provide: TELEMETRY_TURN, useValue: telemetryTurn },
        ...(isDemo ? [HostSampler, HostTelemetry, ClientLibrary] : []),
      ],
    };
  }
}
