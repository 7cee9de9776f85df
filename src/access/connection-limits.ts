export interface ConnectionLimitOptions {
  readonly maxConnections: number;
  readonly maxConnectionsPerIp: number;
}

export type ConnectionLimit = 'total' | 'address';

/** Counts connections of both gateways, from the moment an upgrade is looked at until its socket is gone. */
export class ConnectionLimits {
  private total = 0;
  private readonly byAddress = new Map<string, number>();

  constructor(private readonly options: ConnectionLimitOptions) {}

  get count(): number {
    return this.total;
  }

  /** Takes a place, or says which limit is reached. Every place taken has to be given back with {@link release}. */
  acquire(remoteAddress: string): ConnectionLimit | undefined {
    const ofAddress = this.byAddress.get(remoteAddress) ?? 0;
    if (ofAddress >= this.options.maxConnectionsPerIp) return 'address';
    if (this.total >= this.options.maxConnections) return 'total';
    this.total += 1;
    this.byAddress.set(remoteAddress, ofAddress + 1);
    return undefined;
  }

  release(remoteAddress: string): void {
    const ofAddress = this.byAddress.get(remoteAddress);
    if (ofAddress === undefined) return;
    this.total -= 1;
    if (ofAddress === 1) this.byAddress.delete(remoteAddress);
    else this.byAddress.set(remoteAddress, ofAddress - 1);
  }
}
