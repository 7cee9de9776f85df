import type { Socket } from 'node:net';
import { freePort } from './free.port.js';
import { type GatewayBuilder, gatewayOn, type TestGateway } from './gateway.fixture.js';

/** A gateway that goes and comes again on its port. Ends with the test. */
export class RestartingGateway {
  private gateway: TestGateway | undefined;
  private sockets = new Set<Socket>();

  private constructor(
    readonly port: number,
    private readonly prepare: (builder: GatewayBuilder) => GatewayBuilder,
  ) {}

  /** `prepare` is called for each start, with a builder whose gateway closes all clients at once. */
  static async start(prepare: (builder: GatewayBuilder) => GatewayBuilder): Promise<RestartingGateway> {
    const restarting = new RestartingGateway(await freePort(), prepare);
    await restarting.start();
    return restarting;
  }

  get current(): TestGateway {
    if (this.gateway === undefined) throw new Error('the gateway is down');
    return this.gateway;
  }

  get base(): string {
    return `http://127.0.0.1:${this.port}`;
  }

  async start(): Promise<void> {
    const gateway = await this.prepare(gatewayOn('express').withOptions({ drainWindowMs: 0 })).create();
    const sockets = (this.sockets = new Set());
    gateway.httpServer.on('connection', (socket) => {
      sockets.add(socket);
      socket.once('close', () => sockets.delete(socket));
    });
    await gateway.app.listen(this.port, '127.0.0.1');
    this.gateway = gateway;
  }

  /** As a process that is told to end. */
  async stop(): Promise<void> {
    await this.current.close();
    this.gateway = undefined;
  }

  /** As a process that dies: no client is told anything. */
  async cut(): Promise<void> {
    for (const socket of this.sockets) socket.destroy();
    await this.stop();
  }
}
