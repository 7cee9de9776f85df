import { AnonymousAuthenticator } from '../../src/access/anonymous.authenticator.js';
import type { Authenticator } from '../../src/access/authenticator.js';
import { MemoryRevocations } from '../../src/access/memory.revocations.js';
import { InProcessCluster } from '../../src/bus/in-process.cluster.js';
import { Connections } from '../../src/gateway/connections.js';
import { TokenRefresh } from '../../src/gateway/token.refresh.js';
import { UnfinishedMessages } from '../../src/gateway/unfinished.messages.js';
import { AuditTrail } from '../../src/observe/audit.trail.js';
import type { PushOptions } from '../../src/push.options.js';
import { Sessions } from '../../src/registry/sessions.js';

/** What ties sockets to clients, without an application. */
export function createConnections(
  options: PushOptions,
  authenticator: Authenticator = new AnonymousAuthenticator(true),
): { connections: Connections; sessions: Sessions } {
  const revocations = new MemoryRevocations(options.revocationHours * 3_600_000);
  const sessions = new Sessions(options, revocations, new InProcessCluster(), Date.now);
  const refresh = new TokenRefresh(authenticator, revocations, sessions);
  const connections = new Connections(options, sessions, refresh, new UnfinishedMessages(options), new AuditTrail());
  return { connections, sessions };
}
