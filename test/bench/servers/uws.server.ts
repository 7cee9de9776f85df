import type { us_listen_socket } from '@trufflesuite/uws-js-unofficial';
import type { StartServer } from './bench.server.js';

const TOPIC = 'bench';

export const startUws: StartServer = async () => {
  const uws = await load();
  if (typeof uws === 'string') return uws;
  const app = uws.App();
  let clientCount = 0;
  app.ws('/*', {
    // Nothing is dropped: every contender delivers the same data.
    maxBackpressure: 64 * 1024 * 1024,
    idleTimeout: 0,
    open(socket) {
      socket.subscribe(TOPIC);
      clientCount += 1;
    },
    close() {
      clientCount -= 1;
    },
  });
  const listening = await new Promise<us_listen_socket | false>((resolve) => {
    app.listen('127.0.0.1', 0, resolve);
  });
  if (listening === false) return 'uWebSockets.js could not listen';
  return {
    port: uws.us_socket_local_port(listening),
    push(datum) {
      app.publish(TOPIC, JSON.stringify(datum), false, false);
      return clientCount;
    },
    clientCount: () => clientCount,
  };
};

/** The package falls back to ws where it has no binary for this Node: that would measure something else. */
async function load() {
  try {
    const { default: uws } = await import('@trufflesuite/uws-js-unofficial');
    return 'SSLApp' in uws ? uws : 'uWebSockets.js has no binary for this Node and platform';
  } catch (cause) {
    return `uWebSockets.js does not load: ${cause instanceof Error ? cause.message : String(cause)}`;
  }
}
