import { once } from 'node:events';
import { get } from 'node:http';
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';

const CHECK_INTERVAL_MS = 50;

/** A load balancer for TCP: a new connection goes to the next node that says that it is ready, and stays there. */
export class Balancer {
  private readonly sockets = new Set<Socket>();
  private readonly readiness = new Map<number, boolean>();
  private readonly checks = setInterval(() => void this.check(), CHECK_INTERVAL_MS);
  private next = 0;

  private constructor(private readonly server: Server) {
    server.on('connection', (socket: Socket) => this.take(socket));
  }

  static async start(): Promise<Balancer> {
    const server = createServer();
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    return new Balancer(server);
  }

  get port(): number {
    return (this.server.address() as AddressInfo).port;
  }

  get readyPorts(): number[] {
    return [...this.readiness].filter(([, isReady]) => isReady).map(([port]) => port);
  }

  /** It gets connections once it is ready. */
  add(port: number): void {
    this.readiness.set(port, false);
  }

  remove(port: number): void {
    this.readiness.delete(port);
  }

  close(): void {
    clearInterval(this.checks);
    for (const socket of this.sockets) socket.destroy();
    this.server.close();
  }

  private take(socket: Socket): void {
    const ports = this.readyPorts;
    const port = ports[(this.next += 1) % ports.length];
    if (port === undefined) {
      socket.destroy();
      return;
    }
    const node = connect(port, '127.0.0.1');
    for (const [from, to] of [
      [socket, node],
      [node, socket],
    ] as const) {
      this.sockets.add(from);
      from.pipe(to);
      from.on('error', () => to.destroy());
      from.on('close', () => {
        this.sockets.delete(from);
        to.destroy();
      });
    }
  }

  private async check(): Promise<void> {
    await Promise.all([...this.readiness.keys()].map((port) => this.checkNode(port)));
  }

  private async checkNode(port: number): Promise<void> {
    const isReady = await isAnsweredReady(port);
    if (this.readiness.has(port)) this.readiness.set(port, isReady);
  }
}

function isAnsweredReady(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const request = get({ port, host: '127.0.0.1', path: '/health/ready', agent: false }, (response) => {
      response.resume();
      resolve(response.statusCode === 200);
    });
    request.on('error', () => resolve(false));
  });
}
