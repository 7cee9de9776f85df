import { Injectable, type OnApplicationBootstrap, type OnApplicationShutdown } from '@nestjs/common';
import type { Client } from '../fan-out/client.js';
import { Frame, pingFrame, WireFormat } from '../fan-out/frame.js';
import { serverMessage } from '../protocol/messages.js';
import { PushOptions } from '../push.options.js';
import { AlarmRegistry } from '../registry/alarm.registry.js';
import { RawDataRegistry } from '../registry/raw-data.registry.js';

/** The clients are looked at this often in one interval, so that their pings do not all fall on one moment. */
const ROUNDS_AN_INTERVAL = 5;
const PING = pingFrame('');

/**
 * Finds connections that are dead without a word (RFC 6455 section 5.5.2): each is pinged once an interval, and ended
 * when no pong came for the timeout. Quiet clients of `push.v1` also get a `heartbeat` message, which a page can see.
 * One timer for all clients.
 */
@Injectable()
export class Heartbeat implements OnApplicationBootstrap, OnApplicationShutdown {
  private readonly roundMs: number;
  private timer: NodeJS.Timeout | undefined;
  private lastRoundAtMs = 0;

  constructor(
    private readonly options: PushOptions,
    private readonly rawDataRegistry: RawDataRegistry,
    private readonly alarmRegistry: AlarmRegistry,
  ) {
    this.roundMs = options.heartbeatIntervalMs / ROUNDS_AN_INTERVAL;
  }

  onApplicationBootstrap(): void {
    this.lastRoundAtMs = performance.now();
    this.timer = setInterval(() => this.beat(performance.now()), this.roundMs);
    this.timer.unref();
  }

  onApplicationShutdown(): void {
    clearInterval(this.timer);
  }

  private beat(nowMs: number): void {
    this.excuseStandstill(nowMs);
    const heartbeat = Frame.text(serverMessage('heartbeat', {}));
    for (const client of this.rawDataRegistry.all()) this.beatClient(client, nowMs, () => client.offer(heartbeat));
    for (const client of this.alarmRegistry.all()) this.beatClient(client, nowMs, () => client.offerHeartbeat());
  }

  /** Where this process stood still, what clients said meanwhile has yet to be read: the time is nobody's silence. */
  private excuseStandstill(nowMs: number): void {
    const lateMs = nowMs - this.lastRoundAtMs - this.roundMs;
    this.lastRoundAtMs = nowMs;
    if (lateMs < this.roundMs) return;
    for (const client of [...this.rawDataRegistry.all(), ...this.alarmRegistry.all()]) client.lastPongAtMs += lateMs;
  }

  private beatClient(client: Client, nowMs: number, offerHeartbeat: () => void): void {
    const { heartbeatIntervalMs, heartbeatTimeoutMs } = this.options;
    if (nowMs - client.lastPongAtMs > heartbeatTimeoutMs) {
      client.terminate();
      return;
    }
    // A client that was stuck on a full socket has no mark left that would wake it.
    client.wake();
    if (nowMs - client.lastPingAtMs >= heartbeatIntervalMs) {
      client.lastPingAtMs = nowMs;
      client.writeControl(PING);
    }
    const isQuiet = nowMs - client.lastWriteAtMs >= heartbeatIntervalMs && client.outboxBytes === 0;
    if (isQuiet && client.identity.format === WireFormat.pushV1) offerHeartbeat();
  }
}
