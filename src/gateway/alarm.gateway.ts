import type { IncomingMessage } from 'node:http';
import type { OnApplicationBootstrap } from '@nestjs/common';
import { WebSocketGateway } from '@nestjs/websockets';
import type { OnGatewayConnection, OnGatewayInit } from '@nestjs/websockets';
import type { AlarmClient } from '../fan-out/alarm.client.js';
import { Frame, WireFormat } from '../fan-out/frame.js';
import { alarmKey } from '../fan-out/key.js';
import type { ClientMessage } from '../protocol/client-message.js';
import { parseCursor } from '../protocol/cursor.js';
import { type ServerEvents, serverMessage } from '../protocol/messages.js';
import { PushOptions } from '../push.options.js';
import type { AlarmPlace } from '../registry/alarm.places.js';
import { AlarmRegistry } from '../registry/alarm.registry.js';
import { Degradation } from '../registry/degradation.js';
import { type ClientHandler, Connections } from './connections.js';
import { sendException } from './exception.js';
import { assertPushServer, PUSH_GATEWAY } from './gateway.metadata.js';
import { isCompressed, type PushSocket } from './push.socket.js';
import type { Admission } from './admission.js';
import { createSink } from './ws.sink.js';

/** `/ws/alarm`: alarms for every operator's device. */
@WebSocketGateway({ path: '/push-gateway/alarm', [PUSH_GATEWAY]: 'alarm' })
export class AlarmGateway
  implements OnGatewayInit, OnGatewayConnection, OnApplicationBootstrap, ClientHandler<AlarmClient>
{
  private server: unknown;

  constructor(
    private readonly options: PushOptions,
    readonly registry: AlarmRegistry,
    private readonly connections: Connections,
    private readonly degradation: Degradation,
  ) {}

  /** Nest calls this where an error would end the process, so it is looked at when the application starts. */
  afterInit(server: unknown): void {
    this.server = server;
  }

  onApplicationBootstrap(): void {
    assertPushServer(this.server);
    this.degradation.tell(this.registry);
  }

  /** Everything that can be refused was refused before the upgrade, so this neither waits nor fails. */
  handleConnection(socket: PushSocket, request: IncomingMessage, admission: Admission): void {
    const { clientId, handshake, format, session, acceptsAlarm, alarmPlace } = admission;
    if (alarmPlace === undefined) throw new Error('an alarm client was admitted without a place');
    const client = this.registry.createClient(
      {
        clientId,
        key: alarmKey(clientId),
        userName: session.principal.userName ?? '',
        remoteAddress: handshake.remoteAddress,
        format,
        isCompressed: isCompressed(socket, request.socket),
      },
      createSink(socket, request.socket),
      {
        accepts: acceptsAlarm,
        start: alarmPlace.start,
        maxUnacknowledged: alarmPlace.subscription === undefined ? undefined : this.options.maxUnacked,
      },
    );
    this.connections.open(socket, client, session, this, () => this.greet(client, alarmPlace));
    if (alarmPlace.subscription !== undefined) this.registry.hold(client, alarmPlace.subscription);
  }

  private greet(client: AlarmClient, { ready, gap }: AlarmPlace): void {
    if (client.identity.format === WireFormat.pushV1) {
      const { heartbeatIntervalMs: heartbeatMs } = this.options;
      client.offer(Frame.text(serverMessage('ready', { clientId: client.clientId, ...ready, heartbeatMs })));
      this.degradation.greet(client);
      if (gap !== undefined) client.offer(Frame.text(serverMessage('gap', gap)));
    }
    client.begin();
  }

  handle(client: AlarmClient, message: ClientMessage): boolean {
    if (message.event !== 'ack') return false;
    const cursor = parseCursor(message.data.id);
    const fault = cursor === undefined ? 'ackAhead' : this.registry.acknowledge(client, cursor);
    if (fault !== undefined) sendException(client, fault, ACK_FAULTS[fault], message.ref);
    return true;
  }

  /** What the client may have is asked anew for each alarm. */
  recheck(): ServerEvents['subscribed'] {
    return { keys: [], refused: [] };
  }
}

const ACK_FAULTS = {
  notDurable: 'only the connection of a durable subscription acknowledges: connect with ?durable=<name>',
  ackAhead: 'what is acknowledged was not sent on this connection',
} as const;
