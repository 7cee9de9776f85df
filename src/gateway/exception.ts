import type { Client } from '../fan-out/client.js';
import { Frame } from '../fan-out/frame.js';
import type { Ref } from '../protocol/client-message.js';
import { type ExceptionCode, serverMessage } from '../protocol/messages.js';

/** Tells a client that a message of it had no effect; the connection goes on. */
export function sendException(client: Client, code: ExceptionCode, message: string, ref: Ref | undefined): void {
  client.offer(Frame.text(serverMessage('exception', { code, message }, refOf(ref))));
}

/** Repeats the request's `ref` in the answer. */
export function refOf(ref: Ref | undefined): { ref?: Ref } {
  return ref === undefined ? {} : { ref };
}
