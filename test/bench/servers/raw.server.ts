import { createHash } from 'node:crypto';
import type { Duplex } from 'node:stream';
import type { Datum } from '../datum.js';
import type { BenchServer, StartServer } from './bench.server.js';
import { listenOnLoopback } from './listen.js';

const WEB_SOCKET_GUID = '258EAFA5-E914-47DA-95CA-C5AB0DC85B11';

/** Every datum framed once and written to every socket: the least that Node can do. */
export const startRaw: StartServer = async () => {
  const { port, sockets } = await acceptUpgrades();
  return {
    port,
    push(datum) {
      const frame = frameOf(datum);
      for (const socket of sockets) socket.write(frame);
      return sockets.size;
    },
    clientCount: () => sockets.size,
  };
};

/** The same, with what is pushed in one tick joined into one Buffer. */
export const startRawJoined: StartServer = async () => {
  const { port, sockets } = await acceptUpgrades();
  let frames: Buffer[] = [];
  const flush = () => {
    const bytes = Buffer.concat(frames);
    frames = [];
    for (const socket of sockets) socket.write(bytes);
  };
  const push: BenchServer['push'] = (datum) => {
    if (frames.push(frameOf(datum)) === 1) setImmediate(flush);
    return sockets.size;
  };
  return { port, push, clientCount: () => sockets.size };
};

async function acceptUpgrades(): Promise<{ port: number; sockets: Set<Duplex> }> {
  const { server, port } = await listenOnLoopback();
  const sockets = new Set<Duplex>();
  server.on('upgrade', (request, socket) => {
    const accept = createHash('sha1')
      .update(`${request.headers['sec-websocket-key'] ?? ''}${WEB_SOCKET_GUID}`)
      .digest('base64');
    const head = `HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ${accept}`;
    socket.write(`${head}\r\n\r\n`);
    socket.on('error', () => socket.destroy());
    socket.on('close', () => sockets.delete(socket));
    socket.resume();
    sockets.add(socket);
  });
  return { port, sockets };
}

/** RFC 6455 section 5.2, for texts below 64 KiB. */
function frameOf(datum: Datum): Buffer {
  const text = JSON.stringify(datum);
  const length = Buffer.byteLength(text);
  const headerBytes = length < 126 ? 2 : 4;
  const frame = Buffer.allocUnsafe(headerBytes + length);
  frame[0] = 0x81;
  if (headerBytes === 2) frame[1] = length;
  else {
    frame[1] = 126;
    frame.writeUInt16BE(length, 2);
  }
  frame.write(text, headerBytes, 'utf8');
  return frame;
}
