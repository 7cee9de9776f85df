import { createSocket, type Socket } from 'node:dgram';

const DEADLINE_MS = 20_000;

/**
 * The load client's word on how many data have arrived. A datagram for each tick costs the server next to nothing, and
 * the same for every contender.
 */
export class Acknowledgements {
  private arrived = 0;
  private waiting: { total: number; resolve: () => void } | undefined;

  private constructor(private readonly socket: Socket) {
    socket.on('message', (text) => this.take(Number(text.toString('latin1'))));
  }

  static async listen(): Promise<Acknowledgements> {
    const socket = createSocket('udp4');
    await new Promise<void>((resolve) => {
      socket.bind(0, '127.0.0.1', resolve);
    });
    return new Acknowledgements(socket);
  }

  get port(): number {
    return this.socket.address().port;
  }

  /** Counting begins again at 0. */
  reset(): void {
    this.arrived = 0;
  }

  /** Resolves when so many data have arrived since the last {@link reset}. */
  async whenArrived(total: number): Promise<void> {
    if (this.arrived >= total) return;
    let timer: NodeJS.Timeout | undefined;
    try {
      await new Promise<void>((resolve, reject) => {
        this.waiting = { total, resolve };
        timer = setTimeout(() => reject(new Error(`${this.arrived} of ${total} data arrived`)), DEADLINE_MS);
      });
    } finally {
      clearTimeout(timer);
      this.waiting = undefined;
    }
  }

  private take(arrived: number): void {
    this.arrived = Math.max(this.arrived, arrived);
    if (this.waiting !== undefined && this.arrived >= this.waiting.total) this.waiting.resolve();
  }
}
