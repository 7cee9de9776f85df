import { stat, unlink } from 'node:fs/promises';
import { connect, createServer, type Server } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { codeOf } from '../push.causes.js';
import { PushConfigurationError } from '../push.errors.js';

/**
 * The right of one process to a folder. It ends with the process, however that ends: it is a socket that listens, not a
 * file. Processes in containers that do not share a network namespace do not see each other's.
 */
export class ExclusiveLock {
  private constructor(private readonly server: Server) {}

  /** Throws {@link PushConfigurationError} where the folder is taken. */
  static async take(folder: string): Promise<ExclusiveLock> {
    const { dev, ino } = await stat(folder, { bigint: true });
    const address = addressOf(`push-alarm-log-${dev}-${ino}`);
    try {
      return new ExclusiveLock(await listen(address));
    } catch (cause) {
      if (codeOf(cause) !== 'EADDRINUSE') throw cause;
    }
    // Only a socket in the file system outlives its process.
    if (hasSocketFile && !(await answers(address))) {
      await unlink(address);
      return ExclusiveLock.take(folder);
    }
    throw new PushConfigurationError([
      `the alarm log in ${folder} is in use by another process, or by another PushModule of this one: give each its own alarmLogPath, or share alarms through Redis`,
    ]);
  }

  release(): Promise<void> {
    return new Promise((resolve, reject) => {
      this.server.close((error) => (error === undefined ? resolve() : reject(error)));
    });
  }
}

const hasSocketFile = process.platform !== 'linux' && process.platform !== 'win32';

function addressOf(name: string): string {
  if (process.platform === 'linux') return `\0${name}`;
  return process.platform === 'win32' ? `\\\\.\\pipe\\${name}` : join(tmpdir(), `${name}.sock`);
}

function listen(path: string): Promise<Server> {
  return new Promise((resolve, reject) => {
    const server = createServer((socket) => socket.destroy());
    server.once('error', reject);
    // Exclusive: the workers of a cluster would share the socket otherwise, and each take the folder for its own.
    server.listen({ path, exclusive: true }, () => {
      server.off('error', reject);
      // A caller that could not be accepted changes nothing: the socket listens on.
      server.on('error', () => undefined);
      server.unref();
      resolve(server);
    });
  });
}

function answers(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(path);
    socket.once('connect', () => {
      socket.destroy();
      resolve(true);
    });
    socket.once('error', () => resolve(false));
  });
}
