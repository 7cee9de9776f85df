import type { DatumOrigin, RawDataBus, RawDataEnvelope } from '../../src/bus/bus.js';
import type { Interest } from '../../src/fan-out/interest.js';
import { conflationKey } from '../../src/fan-out/key.js';
import { until } from './deadline.js';

/** What tests push by a bus: `value` is the datum's. */
export type SentFields = Partial<Pick<RawDataEnvelope, 'to' | 'except'>> & { readonly series?: string };

export const key = (businessType: string, businessId: string): Interest => ({ kind: 'key', businessType, businessId });

/** One node's side of a bus, with what it has received. */
export class BusNode<B extends RawDataBus = RawDataBus> {
  readonly received: { readonly envelope: RawDataEnvelope; readonly origin: DatumOrigin }[] = [];
  private sentinels = 0;

  constructor(readonly bus: B) {
    bus.onReceived((envelope, origin) => this.received.push({ envelope, origin }));
  }

  send(
    businessType: string,
    businessId: string | undefined,
    value: unknown,
    { series = '', to, except }: SentFields = {},
  ): DatumOrigin | undefined {
    const datumJson = JSON.stringify({ businessType, ...(businessId === undefined ? {} : { businessId }), value });
    const ofSeries = conflationKey(businessType, businessId ?? '', series);
    return this.bus.send({ datumJson, conflationKey: ofSeries, businessType, businessId, to, except });
  }

  /** Wants each, and waits until that holds. */
  async want(...interests: readonly Interest[]): Promise<void> {
    for (const interest of interests) this.bus.want(interest);
    await this.bus.whenWanted();
  }

  /** The values received until now. */
  get values(): unknown[] {
    return this.received.map(({ envelope }) => (JSON.parse(envelope.datumJson) as { value: unknown }).value);
  }

  /** The values that this node got before something that `from` sends last, by a way of its own. */
  async valuesUpToNow(from: BusNode): Promise<unknown[]> {
    const sentinel = `sentinel ${(this.sentinels += 1)}`;
    await this.want(key('sentinel', '1'));
    from.send('sentinel', '1', sentinel);
    await until(() => this.values.includes(sentinel), `${sentinel} arrives`);
    this.bus.giveUp(key('sentinel', '1'));
    return this.values.filter((value) => !String(value).startsWith('sentinel'));
  }
}
