export interface MetricDefinition {
  readonly name: string;
  readonly kind: 'counter' | 'upDownCounter' | 'gauge' | 'histogram';
  /** As UCUM has it, which OpenTelemetry's conventions ask for. */
  readonly unit: string;
  readonly attributes: readonly string[];
  readonly description: string;
}

export const GATEWAY = 'push.gateway';
export const LANE = 'push.lane';
export const CLOSE_CODE = 'push.close.code';
export const REFUSAL_REASON = 'push.refusal.reason';
export const ERROR_TYPE = 'error.type';

/** Read when metrics are collected. What is counted is counted since the start of the process. */
export const OBSERVED_METRICS = {
  ready: {
    name: 'push.ready',
    kind: 'gauge',
    unit: '1',
    attributes: [],
    description: 'Whether new clients are to be sent here: 1, else 0',
  },
  connections: {
    name: 'push.connections',
    kind: 'upDownCounter',
    unit: '{connection}',
    attributes: [GATEWAY],
    description: 'Connections that are open',
  },
  disconnections: {
    name: 'push.disconnections',
    kind: 'counter',
    unit: '{connection}',
    attributes: [GATEWAY, CLOSE_CODE],
    description: 'Connections that have ended',
  },
  refusals: {
    name: 'push.refusals',
    kind: 'counter',
    unit: '{refusal}',
    attributes: [REFUSAL_REASON],
    description: 'Requests to connect that were refused',
  },
  pushes: {
    name: 'push.pushes',
    kind: 'counter',
    unit: '{push}',
    attributes: [GATEWAY],
    description: 'Raw data that were pushed, and alarms that were stored, by this node',
  },
  matches: {
    name: 'push.matches',
    kind: 'counter',
    unit: '{match}',
    attributes: [],
    description: 'Clients that raw data matched, from whichever node they came; one for each datum and client',
  },
  filterFailures: {
    name: 'push.filter.failures',
    kind: 'counter',
    unit: '{failure}',
    attributes: [],
    description: 'Raw data that were not delivered to a client, since the delivery filter threw',
  },
  deliveries: {
    name: 'push.deliveries',
    kind: 'counter',
    unit: '{message}',
    attributes: [GATEWAY],
    description: 'Messages that were written to clients: raw data or alarms, answers and heartbeats among them',
  },
  written: {
    name: 'push.written',
    kind: 'counter',
    unit: 'By',
    attributes: [GATEWAY],
    description: 'What was written to clients, as it goes over the wire but for TLS',
  },
  conflations: {
    name: 'push.conflations',
    kind: 'counter',
    unit: '{value}',
    attributes: [],
    description: 'Values that newer ones have replaced before they were written',
  },
  inFlight: {
    name: 'push.in_flight',
    kind: 'upDownCounter',
    unit: 'By',
    attributes: [GATEWAY],
    description: 'What was written to clients that they have not confirmed to have read',
  },
  outbox: {
    name: 'push.outbox',
    kind: 'upDownCounter',
    unit: 'By',
    attributes: [GATEWAY],
    description: 'What waits for the windows of clients to open',
  },
  alarmLag: {
    name: 'push.alarm.lag',
    kind: 'gauge',
    unit: '{alarm}',
    attributes: [],
    description: 'Alarms of the log that the client that is behind most has not been written',
  },
  alarmLagging: {
    name: 'push.alarm.lagging',
    kind: 'upDownCounter',
    unit: '{connection}',
    attributes: [],
    description: 'Connections that are behind the head of the alarm log',
  },
  alarmLogUp: {
    name: 'push.alarm_log.up',
    kind: 'gauge',
    unit: '1',
    attributes: [],
    description: 'Whether the alarm log takes alarms: 1, else 0',
  },
  busUp: {
    name: 'push.bus.up',
    kind: 'gauge',
    unit: '1',
    attributes: [],
    description: 'Whether other nodes are heard: 1, else 0; with several nodes only',
  },
  busSent: {
    name: 'push.bus.sent',
    kind: 'counter',
    unit: '{datum}',
    attributes: [],
    description: 'Raw data that were handed to Redis for other nodes',
  },
  busReceived: {
    name: 'push.bus.received',
    kind: 'counter',
    unit: '{datum}',
    attributes: [],
    description: 'Raw data that came from other nodes',
  },
  busConflations: {
    name: 'push.bus.conflations',
    kind: 'counter',
    unit: '{datum}',
    attributes: [],
    description: 'Raw data that newer ones have replaced while they waited for Redis',
  },
  busDropped: {
    name: 'push.bus.dropped',
    kind: 'counter',
    unit: '{datum}',
    attributes: [],
    description:
      'Raw data that other nodes were not sent, or may not have been: Redis could not be reached, or was too slow',
  },
  clusterUp: {
    name: 'push.cluster.up',
    kind: 'gauge',
    unit: '1',
    attributes: [],
    description: 'Whether nodes can tell and ask each other, as to end sessions: 1, else 0; with several nodes only',
  },
  clusterUntold: {
    name: 'push.cluster.untold',
    kind: 'counter',
    unit: '{message}',
    attributes: [],
    description: 'What other nodes could not be told: Redis could not be reached, or refused it',
  },
  loopDelayP99: {
    name: 'push.event_loop.delay.p99',
    kind: 'gauge',
    unit: 's',
    attributes: [],
    description: 'How much later than due the event loop came to 1 of 100 timers, in the last 10 s',
  },
  loopDelayMax: {
    name: 'push.event_loop.delay.max',
    kind: 'gauge',
    unit: 's',
    attributes: [],
    description: 'How much later than due the event loop came to a timer at most, in the last 10 s',
  },
} as const satisfies Record<string, MetricDefinition>;

/** Recorded when they have ended. */
export const DURATION_METRICS = {
  flushDuration: {
    name: 'push.flush.duration',
    kind: 'histogram',
    unit: 's',
    attributes: [LANE],
    description: 'From the beginning of a flush until all clients in line have been flushed',
  },
  appendDuration: {
    name: 'push.alarm_log.append.duration',
    kind: 'histogram',
    unit: 's',
    attributes: [ERROR_TYPE],
    description: 'Time until the alarm log has stored what was pushed in one call, or has refused it',
  },
} as const satisfies Record<string, MetricDefinition>;

export type ObservedMetric = keyof typeof OBSERVED_METRICS;
export type DurationMetric = keyof typeof DURATION_METRICS;
