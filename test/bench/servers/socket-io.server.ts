import { createAdapter } from '@socket.io/redis-adapter';
import { createClient } from 'redis';
import { Server } from 'socket.io';
import type { StartServer } from './bench.server.js';
import { listenOnLoopback } from './listen.js';

export const startSocketIo: StartServer = async ({ redisUrl }) => {
  const { server, port } = await listenOnLoopback();
  const io = new Server(server, { transports: ['websocket'], serveClient: false });
  if (redisUrl !== undefined) {
    const publisher = await createClient({ url: redisUrl }).connect();
    const subscriber = await publisher.duplicate().connect();
    io.adapter(createAdapter(publisher, subscriber));
  }
  return {
    port,
    push(datum) {
      io.emit('rawData', datum);
      return io.engine.clientsCount;
    },
    clientCount: () => io.engine.clientsCount,
  };
};
