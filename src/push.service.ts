import { Inject, Injectable, type OnApplicationBootstrap, type OnApplicationShutdown } from '@nestjs/common';
import { ALARM_LOG, type AlarmLog, type NewAlarm } from './alarm-log/alarm-log.js';
import { type CloseCode, CloseCodes } from './protocol/close-codes.js';
import { formatCursor } from './protocol/cursor.js';
import { type DatumOrigin, RAW_DATA_BUS, type RawDataBus, type RawDataEnvelope } from './bus/bus.js';
import { Frame } from './fan-out/frame.js';
import { conflationKey } from './fan-out/key.js';
import type { RawDataPush } from './fan-out/raw-data.router.js';
import { InvalidPushError, PayloadTooLargeError } from './push.errors.js';
import { PushOptions } from './push.options.js';
import {
  checkAlarm,
  checkIsOneOf,
  checkPushOptions,
  checkRawDatum,
  defaultSeriesOf,
  encodePayload,
  MAX_ALARM_BYTES,
  MAX_RAW_DATUM_BYTES,
} from './push.rules.js';
import type { Alarm, AlarmReceipt, PushRawDataOptions, PushResult, RawDatum } from './push.types.js';
import { assertCloseArguments } from './registry/client.registry.js';
import { GuardedDeliveryFilter } from './registry/guarded.delivery-filter.js';
import { RawDataRegistry } from './registry/raw-data.registry.js';
import { type DisconnectTarget, type RevocationTarget, Sessions } from './registry/sessions.js';

/** Told of every attempt to append to the log: how long it took, and how it failed. */
export type AppendListener = (durationMs: number, failure: unknown) => void;

type CloseArguments = Pick<CloseCode, 'code' | 'reason'>;

/** What application modules inject to push. A slow, broken or hostile client cannot make any of this fail or wait. */
@Injectable()
export class PushService implements OnApplicationBootstrap, OnApplicationShutdown {
  /** @internal What was pushed here, since the start. */
  readonly pushed = { rawData: 0, alarms: 0 };
  /** @internal */
  onAppended: AppendListener | undefined;
  private stopReceiving: (() => void) | undefined;

  constructor(
    private readonly options: PushOptions,
    private readonly rawDataRegistry: RawDataRegistry,
    @Inject(ALARM_LOG) private readonly alarmLog: AlarmLog,
    @Inject(RAW_DATA_BUS) private readonly bus: RawDataBus,
    private readonly sessions: Sessions,
    private readonly deliveryFilter: GuardedDeliveryFilter,
  ) {}

  onApplicationBootstrap(): void {
    this.stopReceiving = this.bus.onReceived((envelope, origin) => this.receive(envelope, origin));
  }

  onApplicationShutdown(): void {
    this.stopReceiving?.();
  }

  /** How often the delivery filter threw; each time a datum was not delivered to one client. */
  get filterFailures(): number {
    return this.deliveryFilter.failures;
  }

  /**
   * Pushes live telemetry to the clients that subscribed to its (businessType, businessId), or that `options.to` names.
   * A slow client gets the newest value of each series. Throws InvalidPushError or PayloadTooLargeError, and then
   * nothing was sent; never throws for a client's sake.
   */
  pushRawData(datum: RawDatum, options: PushRawDataOptions = {}): PushResult {
    checkPushOptions(options);
    return { matched: this.send(this.encodeRawDatum(datum, options)) };
  }

  /** As {@link pushRawData} for several, in this order, all or nothing; `matched` is the sum. An error's field names the index. */
  pushRawDataAll(data: readonly RawDatum[], options: PushRawDataOptions = {}): PushResult {
    checkPushOptions(options);
    const pushes = encodeAll('data', data, (datum) => this.encodeRawDatum(datum, options));
    return { matched: pushes.reduce((matched, push) => matched + this.send(push), 0) };
  }

  /**
   * Appends an alarm to the log and resolves when it is stored; from then on it is delivered to every client that may
   * see it. Rejects with InvalidPushError, PayloadTooLargeError, EventIdConflictError or AlarmNotAcceptedError.
   */
  async pushAlarm(alarm: Alarm): Promise<AlarmReceipt> {
    const [receipt] = await this.append([this.encodeAlarm(alarm)]);
    if (receipt === undefined) throw new Error('the alarm log answered without a receipt');
    return receipt;
  }

  /** As {@link pushAlarm} for several, in this order, all or nothing. An error's field names the index. */
  async pushAlarms(alarms: readonly Alarm[]): Promise<AlarmReceipt[]> {
    return this.append(encodeAll('alarms', alarms, (alarm) => this.encodeAlarm(alarm)));
  }

  /**
   * Closes a user's connections, or one by its clientId, on whichever node, with 4403 (stop) or the close code given. Returns
   * how many **this node** closed; the others are told, and one that cannot be reached in that moment does not hear of it.
   * The user may connect again: to prevent that, {@link revoke}.
   */
  disconnect(target: DisconnectTarget, closeCode: CloseArguments = CloseCodes.forbidden): number {
    checkIsOneOf(target, ['userName', 'clientId']);
    assertCloseArguments(closeCode.code, closeCode.reason);
    return this.sessions.disconnect(target, closeCode);
  }

  /**
   * Ends the sessions of a user, or of one token (its `jti`), at once with 4401, on all nodes. Credentials that were issued
   * before are refused from now on, for `revocationHours`. Resolves to how many sessions **this node** ended, with Redis once
   * it is stored there: then no node misses it and no restart forgets it. Rejects with RevocationNotStoredError where Redis
   * does not confirm; it counts on this node all the same, and is stored later.
   */
  async revoke(target: RevocationTarget): Promise<number> {
    checkIsOneOf(target, ['userName', 'tokenId']);
    return this.sessions.revoke(target);
  }

  /** On to the other nodes, which does not wait, and to the clients of this one. */
  private send(push: RawDataPush): number {
    this.pushed.rawData += 1;
    const { frame, businessType, businessId, to, except } = push;
    const { plainText: datumJson, conflationKey: key = '' } = frame;
    const origin = this.bus.send({ datumJson, conflationKey: key, businessType, businessId, to, except });
    return this.rawDataRegistry.route(push, origin);
  }

  private receive(envelope: RawDataEnvelope, origin: DatumOrigin): void {
    const { datumJson, conflationKey: key, businessType, businessId, to, except } = envelope;
    const frame = Frame.rawData(datumJson, key, this.options.compression?.thresholdBytes);
    const filter = this.deliveryFilter.ofJson(datumJson);
    this.rawDataRegistry.route({ frame, businessType, businessId, to, except, filter }, origin);
  }

  private async append(alarms: readonly NewAlarm[]): Promise<AlarmReceipt[]> {
    if (alarms.length === 0) return [];
    const receipts = await this.timed(this.alarmLog.append(alarms));
    this.pushed.alarms += receipts.filter(({ duplicate }) => !duplicate).length;
    return receipts.map(({ cursor, duplicate }) => ({ cursor: formatCursor(cursor), duplicate }));
  }

  private async timed<T>(appending: Promise<T>): Promise<T> {
    const startMs = performance.now();
    try {
      const receipts = await appending;
      this.onAppended?.(performance.now() - startMs, undefined);
      return receipts;
    } catch (cause) {
      this.onAppended?.(performance.now() - startMs, cause);
      throw cause;
    }
  }

  private encodeRawDatum(datum: RawDatum, { to, except }: PushRawDataOptions): RawDataPush {
    checkRawDatum(datum);
    const json = encodePayload(datum, 'raw datum', MAX_RAW_DATUM_BYTES);
    const { businessType } = datum;
    const businessId = datum.businessId === '' ? undefined : datum.businessId;
    const key = conflationKey(businessType, businessId ?? '', this.seriesOf(datum));
    const frame = Frame.rawData(json, key, this.options.compression?.thresholdBytes);
    return { frame, businessType, businessId, to, except, filter: this.deliveryFilter.of(datum) };
  }

  private encodeAlarm(alarm: Alarm): NewAlarm {
    checkAlarm(alarm);
    const json = encodePayload(alarm, 'alarm', MAX_ALARM_BYTES);
    const { businessId, businessType, severity, orgId, conditionId, active, eventId } = alarm;
    return { json, fields: { businessId, businessType, severity, orgId, conditionId, active }, eventId };
  }

  private seriesOf(datum: RawDatum): string {
    if (this.options.seriesOf === undefined) return defaultSeriesOf(datum);
    try {
      return String(this.options.seriesOf(datum));
    } catch (cause) {
      throw new InvalidPushError('series', `could not be told, seriesOf threw: ${String(cause)}`);
    }
  }
}

/** An error says which of them is at fault. */
function encodeAll<T, E>(name: string, values: readonly T[], encode: (value: T) => E): E[] {
  if (!Array.isArray(values)) throw new InvalidPushError(name, 'must be an array');
  return values.map((value, index) => {
    try {
      return encode(value);
    } catch (cause) {
      const namesPlace = cause instanceof InvalidPushError || cause instanceof PayloadTooLargeError;
      throw namesPlace ? cause.at(`[${index}]`) : cause;
    }
  });
}
