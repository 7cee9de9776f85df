import type { Socket } from 'node:net';
import { setTimeout as wait } from 'node:timers/promises';
import { clientFrame } from './client.frame.js';
import type { FloodReport, PingFlood } from './hostile.api.js';
import { UpgradeAttempt } from './upgrade.attempt.js';

const PING = 9;
/** The most that a control frame may carry, RFC 6455 section 5.5. */
const PAYLOAD_BYTES = 125;
const PINGS_A_WRITE = 500;
/** Four of these clients then send as much as a gigabit network carries. */
const WRITE_INTERVAL_MS = 2;
const REFUSED_WAIT_MS = 100;
const FIRST_ADDRESS = 20;
const ping = clientFrame(PING, Buffer.alloc(PAYLOAD_BYTES, 'p'));
const pings = Buffer.concat(Array.from({ length: PINGS_A_WRITE }, () => ping));

/** Clients that send nothing but pings, as fast as a network carries them, read nothing, and come again when they are cut. */
export class Flood {
  private readonly report = { sentBytes: 0, connections: 0, refusals: 0 };
  private readonly ended: Promise<unknown>;
  private readonly sockets = new Set<Socket>();
  private isStopped = false;

  constructor(private readonly plan: PingFlood) {
    const addresses = Array.from({ length: plan.flooders }, (_, index) => `127.0.0.${FIRST_ADDRESS + index}`);
    this.ended = Promise.all(addresses.map((address) => this.comeAgain(address)));
  }

  async stop(): Promise<FloodReport> {
    this.isStopped = true;
    for (const socket of this.sockets) socket.destroy();
    await this.ended;
    return this.report;
  }

  private async comeAgain(localAddress: string): Promise<void> {
    while (!this.isStopped) {
      const { answer, socket } = new UpgradeAttempt({ ...this.plan, localAddress });
      const { status } = await answer;
      if (status === 101) {
        this.report.connections += 1;
        await this.sendUntilCut(socket);
      } else {
        this.report.refusals += 1;
        await wait(REFUSED_WAIT_MS);
      }
      socket.destroy();
    }
  }

  /** Resolves when the server has cut the connection: that is what this client is there for, and no error. */
  private sendUntilCut(socket: Socket): Promise<void> {
    socket.pause();
    this.sockets.add(socket);
    return new Promise((resolve) => {
      socket.on('close', () => {
        this.sockets.delete(socket);
        resolve();
      });
      const send = () => {
        if (socket.destroyed) return;
        // Called when the kernel has taken all of it.
        socket.write(pings, (cause) => {
          if (cause instanceof Error) return;
          this.report.sentBytes += pings.length;
          setTimeout(send, WRITE_INTERVAL_MS);
        });
      };
      send();
    });
  }
}
