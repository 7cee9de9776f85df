import { once } from 'node:events';
import { type ClientOptions, WebSocket } from 'ws';
import { PUSH_V1 } from '../../src/protocol/messages.js';
import { TestClient } from '../../src/testing/test.client.js';
import { within } from './deadline.js';

export type { CloseEvent, ServerMessage as PushMessage } from '../../src/testing/test.client.js';

/** A client at any address, with what the gateway's own tests want to know of pings and marks. */
export class PushClient extends TestClient {
  pings = 0;
  marks = 0;

  private constructor(override readonly socket: WebSocket) {
    super(socket);
    socket.on('ping', () => (this.pings += 1));
  }

  /** Connects on the plain wire; rejects where the upgrade is refused. */
  static async connect(url: string, options: ClientOptions = {}, protocols: string[] = []): Promise<PushClient> {
    const socket = new WebSocket(url, protocols, { perMessageDeflate: false, ...options });
    const client = new PushClient(socket);
    const opened = once(socket, 'open');
    const failed = once(socket, 'close').then(() => {
      throw new Error(`${url} was not opened`);
    });
    failed.catch(() => {});
    await within(Promise.race([opened, failed]), `open ${url}`);
    return client;
  }

  /** Connects on `push.v1` and takes the `ready`. */
  static async connectPushV1(url: string, options: ClientOptions = {}): Promise<PushClient> {
    const client = await PushClient.connect(url, options, [PUSH_V1]);
    await client.takeReady();
    return client;
  }

  /** Everything up to the message that is exactly this text, which ends it. */
  async upTo(sentinel: string): Promise<string[]> {
    const messages: string[] = [];
    for (;;) {
      const text = await this.next();
      if (text === sentinel) return messages;
      messages.push(text);
    }
  }

  protected override returnMark(text: string): void {
    this.marks += 1;
    super.returnMark(text);
  }
}
