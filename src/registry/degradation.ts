import { Inject, Injectable, type OnApplicationShutdown } from '@nestjs/common';
import { RAW_DATA_BUS, type RawDataBus } from '../bus/bus.js';
import type { Client } from '../fan-out/client.js';
import { Frame, WireFormat } from '../fan-out/frame.js';
import { serverMessage } from '../protocol/messages.js';

/** Where the clients of a gateway are. */
interface Clients {
  all(): Iterable<Client>;
}

/** Tells two-way clients when this node cannot hear the others, and when it can again. */
@Injectable()
export class Degradation implements OnApplicationShutdown {
  private readonly stops: (() => void)[] = [];

  constructor(@Inject(RAW_DATA_BUS) private readonly bus: RawDataBus) {}

  /** From now on the clients of this registry are told. */
  tell(registry: Clients): void {
    this.stops.push(this.bus.onFaultChanged(() => this.tellAll(registry)));
  }

  /** To be called after a client's `ready`: whoever connects meanwhile is told as well. */
  greet(client: Client): void {
    if (this.isActive && isTwoWay(client)) client.offer(this.frame());
  }

  onApplicationShutdown(): void {
    for (const stop of this.stops.splice(0)) stop();
  }

  private get isActive(): boolean {
    return this.bus.fault !== undefined;
  }

  private tellAll(registry: Clients): void {
    const frame = this.frame();
    for (const client of registry.all()) if (client.state === 'open' && isTwoWay(client)) client.offer(frame);
  }

  private frame(): Frame {
    return Frame.text(serverMessage('degraded', { active: this.isActive }));
  }
}

function isTwoWay({ identity }: Client): boolean {
  return identity.format === WireFormat.pushV1;
}
