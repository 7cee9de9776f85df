import { WebSocketServer } from 'ws';
import type { StartServer } from './bench.server.js';
import { listenOnLoopback } from './listen.js';

/** ws on Node's HTTP server and nothing else. */
export const startBareWs: StartServer = async () => {
  const { server, port } = await listenOnLoopback();
  const webSocketServer = new WebSocketServer({ server, perMessageDeflate: false });
  return {
    port,
    push(datum) {
      for (const client of webSocketServer.clients) client.send(JSON.stringify(datum));
      return webSocketServer.clients.size;
    },
    clientCount: () => webSocketServer.clients.size,
  };
};
