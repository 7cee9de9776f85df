import type { Server } from 'node:http';
import type { Socket } from 'node:net';
import { Server as TlsServer } from 'node:tls';

/**
 * Lets an HTTP server end in time. Node's `close` waits for every connection, but for those that are idle at that
 * moment: one that is asked on again and again stays, and so does one that has never said anything, as browsers open them in advance.
 */
export class HttpConnections {
  private readonly sockets = new Set<Socket>();

  constructor(private readonly server: Server) {
    // Beneath TLS nobody counts what was read: who says nothing there is cut with the rest.
    if (!(server instanceof TlsServer)) server.on('connection', this.add);
  }

  /** Just before the server closes. What is not answered in this time is cut. */
  end(withinMs: number): void {
    const { server } = this;
    server.off('connection', this.add);
    // Whoever has been answered is let go at once.
    server.keepAliveTimeout = 1;
    for (const socket of this.sockets) if (socket.bytesRead === 0) socket.destroy();
    const cut = setTimeout(() => server.closeAllConnections(), withinMs);
    server.once('close', () => clearTimeout(cut));
  }

  private readonly add = (socket: Socket): void => {
    this.sockets.add(socket);
    socket.once('close', () => this.sockets.delete(socket));
  };
}
