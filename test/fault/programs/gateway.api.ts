export interface GatewaySettings {
  readonly port: number;
  /** One of the two: a log of its own, or several nodes. */
  readonly alarmLogPath?: string;
  readonly redisUrl?: string;
  readonly alarmRetention?: number;
  readonly alarmRetentionHours?: number;
  /** Small: clients fall behind and are fed from the log all the time. */
  readonly inFlightBytes?: number;
  readonly maxUnacked: number;
}

/** What the process of the gateway does when it is asked. */
export interface GatewayApi {
  listen(settings: GatewaySettings): Promise<void>;
  shiftClock(ms: number): Promise<void>;
  /** In order, as on SIGTERM. */
  shutDown(): Promise<void>;
}
