import { PushConfigurationError } from '../push.errors.js';
import { PushServer } from './push.socket.js';

/** Marks our gateways in their options, for the adapter. Where they listen stands in the module's options. */
export const PUSH_GATEWAY = 'pushGateway';

/** Throws where the application set an adapter that does not know our gateways. */
export function assertPushServer(server: unknown): void {
  if (server instanceof PushServer) return;
  throw new PushConfigurationError([
    'the application uses another WebSocket adapter: call app.useWebSocketAdapter(new PushWsAdapter(app)), ' +
      'and hand yours over as new PushWsAdapter(app, { delegate: yours }) if other gateways need it',
  ]);
}
