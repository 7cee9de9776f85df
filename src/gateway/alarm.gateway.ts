import { randomUUID } from 'node:crypto';
import type { IncomingMessage } from 'node:http';
import type { OnApplicationBootstrap } from '@nestjs/common';
import { WebSocketGateway } from '@nestjs/websockets';
import type { OnGatewayConnection, OnGatewayInit } from '@nestjs/websockets';
import { organisationCovers } from '../access/principal.js';
import type { AlarmClient } from '../fan-out/alarm.router.js';
import { Frame, WireFormat } from '../fan-out/frame.js';
import { alarmKey } from '../fan-out/key.js';
import { serverMessage } from '../protocol/messages.js';
import { PushOptions } from '../push.options.js';
import { AlarmRegistry } from '../registry/alarm.registry.js';
import { AlarmTail } from '../registry/alarm.tail.js';
import { openConnection } from './connection.js';
import { assertPushServer, PUSH_GATEWAY } from './gateway.metadata.js';
import { isCompressed, type PushSocket } from './push.socket.js';
import type { Admission } from './upgrade.gate.js';
import { createSink } from './ws.sink.js';

/** `/ws/alarm`: alarms for every operator's device. */
@WebSocketGateway({ path: '/push-gateway/alarm', [PUSH_GATEWAY]: 'alarm' })
export class AlarmGateway implements OnGatewayInit, OnGatewayConnection, OnApplicationBootstrap {
  private server: unknown;

  constructor(
    private readonly options: PushOptions,
    private readonly registry: AlarmRegistry,
    private readonly tail: AlarmTail,
  ) {}

  /** Nest calls this where an error would end the process, so it is looked at when the application starts. */
  afterInit(server: unknown): void {
    this.server = server;
  }

  onApplicationBootstrap(): void {
    assertPushServer(this.server);
  }

  /** Everything that can be refused was refused before the upgrade, so this neither waits nor fails. */
  handleConnection(socket: PushSocket, request: IncomingMessage, admission: Admission): void {
    const { handshake, format, principal, alarmFilter } = admission;
    const clientId = randomUUID();
    const client = this.registry.createClient(
      {
        clientId,
        key: alarmKey(clientId),
        userName: principal.userName ?? '',
        remoteAddress: handshake.remoteAddress,
        format,
        isCompressed: isCompressed(socket, request.socket),
      },
      createSink(socket, request.socket),
      alarmFilter,
      { covers: (orgId) => organisationCovers(principal, orgId) },
    );
    openConnection(
      socket,
      client,
      this.registry,
      () => false,
      () => this.greet(client),
    );
  }

  private greet(client: AlarmClient): void {
    if (client.identity.format !== WireFormat.pushV1) return;
    const { heartbeatIntervalMs: heartbeatMs } = this.options;
    const data = { clientId: client.clientId, cursor: this.tail.cursor, resumed: false, heartbeatMs };
    client.offer(Frame.text(serverMessage('ready', data)));
  }
}
