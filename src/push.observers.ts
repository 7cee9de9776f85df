import type { Provider } from '@nestjs/common';
import { ALARM_LOG, type AlarmLog } from './alarm-log/alarm-log.js';
import { RAW_DATA_BUS, type RawDataBus } from './bus/bus.js';
import { CLUSTER, type Cluster } from './bus/cluster.js';
import { FlushQueue } from './fan-out/flush-queue.js';
import { NodeState } from './gateway/node-state.js';
import { AuditTrail } from './observe/audit.trail.js';
import { LoopDelay } from './observe/loop.delay.js';
import { NodeHealth } from './observe/node.health.js';
import { PushMetrics } from './observe/push.metrics.js';
import { PushOptions } from './push.options.js';
import { PushService } from './push.service.js';
import { AlarmRegistry } from './registry/alarm.registry.js';
import { RawDataRegistry } from './registry/raw-data.registry.js';

/** What tells how the node is and what it does, and where that is read. */
export const OBSERVERS: Provider[] = [
  AuditTrail,
  LoopDelay,
  {
    provide: NodeHealth,
    inject: [PushOptions, NodeState, ALARM_LOG, RAW_DATA_BUS, CLUSTER, LoopDelay],
    useFactory: (
      options: PushOptions,
      state: NodeState,
      alarmLog: AlarmLog,
      bus: RawDataBus,
      cluster: Cluster,
      loop: LoopDelay,
    ) =>
      new NodeHealth({
        state,
        alarmLog,
        bus,
        cluster,
        loop,
        readinessChecks: options.readinessChecks,
        isOnRedis: options.redisUrl !== undefined,
      }),
  },
  {
    provide: PushMetrics,
    inject: [
      PushOptions,
      RawDataRegistry,
      AlarmRegistry,
      PushService,
      FlushQueue,
      AuditTrail,
      NodeHealth,
      ALARM_LOG,
      RAW_DATA_BUS,
      CLUSTER,
      LoopDelay,
    ],
    useFactory: (
      { meter }: PushOptions,
      rawData: RawDataRegistry,
      alarms: AlarmRegistry,
      push: PushService,
      flushQueue: FlushQueue,
      audit: AuditTrail,
      health: NodeHealth,
      alarmLog: AlarmLog,
      bus: RawDataBus,
      cluster: Cluster,
      loop: LoopDelay,
    ) => new PushMetrics({ rawData, alarms, push, flushQueue, audit, health, alarmLog, bus, cluster, loop }, meter),
  },
];
