import { Server } from 'socket.io';
import type { StartServer } from './bench.server.js';
import { listenOnLoopback } from './listen.js';

export const startSocketIo: StartServer = async () => {
  const { server, port } = await listenOnLoopback();
  const io = new Server(server, { transports: ['websocket'], serveClient: false });
  return {
    port,
    push(datum) {
      io.emit('rawData', datum);
      return io.engine.clientsCount;
    },
    clientCount: () => io.engine.clientsCount,
  };
};
