import { Injectable, type OnApplicationBootstrap, type OnApplicationShutdown } from '@nestjs/common';
import type { Client } from '../fan-out/client.js';
import { CloseCodes } from '../protocol/close-codes.js';
import { PushOptions } from '../push.options.js';
import { isAmidMessage, type PushSocket } from './push.socket.js';

const CHECK_INTERVAL_MS = 1000;

interface Watched {
  readonly client: Client;
  /** How often the message was seen unfinished. Not by a clock: while this process stands still, no message can come in. */
  sightings: number;
}

/** Closes clients whose message never ends: it would hold its buffers for as long as the connection lives. */
@Injectable()
export class UnfinishedMessages implements OnApplicationBootstrap, OnApplicationShutdown {
  private readonly sockets = new Map<PushSocket, Watched>();
  private timer: NodeJS.Timeout | undefined;

  constructor(private readonly options: PushOptions) {}

  onApplicationBootstrap(): void {
    this.timer = setInterval(() => this.check(), CHECK_INTERVAL_MS);
    this.timer.unref();
  }

  onApplicationShutdown(): void {
    clearInterval(this.timer);
  }

  watch(socket: PushSocket, client: Client): void {
    this.sockets.set(socket, { client, sightings: 0 });
  }

  /** A message came in whole: what is unfinished from here on is another one. */
  finished(socket: PushSocket): void {
    const watched = this.sockets.get(socket);
    if (watched !== undefined) watched.sightings = 0;
  }

  forget(socket: PushSocket): void {
    this.sockets.delete(socket);
  }

  private check(): void {
    for (const [socket, watched] of this.sockets) {
      if (!isAmidMessage(socket)) watched.sightings = 0;
      else if (watched.sightings * CHECK_INTERVAL_MS < this.options.maxMessageMs) watched.sightings += 1;
      else watched.client.close(CloseCodes.badMessage);
    }
  }
}
