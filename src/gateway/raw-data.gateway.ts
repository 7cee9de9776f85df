import type { IncomingMessage } from 'node:http';
import { Inject, Logger, type OnApplicationBootstrap } from '@nestjs/common';
import { WebSocketGateway } from '@nestjs/websockets';
import type { OnGatewayConnection, OnGatewayInit } from '@nestjs/websockets';
import { Frame, WireFormat } from '../fan-out/frame.js';
import { GuardedAuthorizer } from '../access/guarded.authorizer.js';
import type { PushAuthorizer } from '../access/push.authorizer.js';
import { partFault, rawDataKey } from '../fan-out/key.js';
import type { RawDataClient } from '../fan-out/raw-data.router.js';
import { BadMessageError, type ClientMessage, type Ref } from '../protocol/client-message.js';
import {
  ANY_BUSINESS_ID,
  type KeyAddress,
  type ServerEvents,
  serverMessage,
  type SubscriptionRequest,
} from '../protocol/messages.js';
import { CloseCodes } from '../protocol/close-codes.js';
import { stackOf } from '../push.causes.js';
import { PushOptions } from '../push.options.js';
import { Degradation } from '../registry/degradation.js';
import { RawDataCoverage } from '../registry/raw-data.coverage.js';
import { RawDataRegistry } from '../registry/raw-data.registry.js';
import { RawDataSubscriptions } from '../registry/raw-data.subscriptions.js';
import { ClientTurns } from './client.turns.js';
import { type ClientHandler, Connections } from './connections.js';
import { refOf } from './exception.js';
import { assertPushServer, PUSH_GATEWAY } from './gateway.metadata.js';
import { isCompressed, type PushSocket } from './push.socket.js';
import type { Admission } from './admission.js';
import { createSink } from './ws.sink.js';

/** `/ws/rowdata/:businessType/:businessId/:userName`: live telemetry. */
@WebSocketGateway({ path: '/push-gateway/raw-data', [PUSH_GATEWAY]: 'rawData' })
export class RawDataGateway
  implements OnGatewayInit, OnGatewayConnection, OnApplicationBootstrap, ClientHandler<RawDataClient>
{
  private readonly logger = new Logger(RawDataGateway.name);
  private server: unknown;
  private readonly turns: ClientTurns<RawDataClient>;

  constructor(
    private readonly options: PushOptions,
    readonly registry: RawDataRegistry,
    private readonly subscriptions: RawDataSubscriptions,
    private readonly connections: Connections,
    private readonly degradation: Degradation,
    @Inject(GuardedAuthorizer) private readonly authorizer: PushAuthorizer,
    private readonly coverage: RawDataCoverage,
  ) {
    // As many as a client may send at once.
    this.turns = new ClientTurns(2 * options.maxMessagesPerSecond, (client, cause) => {
      this.logger.error('a subscription failed', stackOf(cause));
      // It cannot know what it is subscribed to, and finds that out when it comes back.
      client.terminate();
    });
  }

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
    const { clientId, handshake, format, session } = admission;
    const { maxFrequencyHz, snapshot, history } = admission.subscription;
    const { businessType = '', businessId = '', userName = '' } = handshake.parameters;
    const client = this.registry.createClient(
      {
        clientId,
        key: rawDataKey(businessType, businessId, userName, clientId),
        userName,
        remoteAddress: handshake.remoteAddress,
        format,
        isCompressed: isCompressed(socket, request.socket),
      },
      createSink(socket, request.socket),
      { businessType, businessId, maxFrequencyHz },
      { covers: (type, id) => this.authorizer.maySee(session.principal, type, id) },
    );
    this.connections.open(socket, client, session, this, () => {
      this.greet(client);
      this.sendSnapshot(client, { businessType, businessId, snapshot, history });
    });
    admission.cover?.release();
  }

  private greet(client: RawDataClient): void {
    if (client.identity.format !== WireFormat.pushV1) return;
    const { heartbeatIntervalMs: heartbeatMs } = this.options;
    client.offer(Frame.text(serverMessage('ready', { clientId: client.clientId, heartbeatMs })));
    this.degradation.greet(client);
  }

  /** Nothing is pushed between the subscription and this, so there is neither gap nor duplicate. */
  private sendSnapshot(client: RawDataClient, { snapshot, history = 0, ...address }: SubscriptionRequest): void {
    if (snapshot === true || history > 0) this.subscriptions.sendSnapshot(client, address, history);
  }

  handle(client: RawDataClient, message: ClientMessage): boolean {
    switch (message.event) {
      case 'subscribe': {
        const { keys } = message.data;
        checkKeys(keys, message.ref);
        this.inTurn(client, keys.length, () => this.subscribe(client, keys, message.ref));
        return true;
      }
      case 'unsubscribe': {
        const { keys } = message.data;
        checkKeys(keys, message.ref);
        this.inTurn(client, keys.length, () => this.unsubscribe(client, keys, message.ref));
        return true;
      }
      default:
        return false;
    }
  }

  private inTurn(client: RawDataClient, keyCount: number, work: () => Promise<void> | undefined): void {
    // Before they wait, since they take memory meanwhile; what they come to is known in their turn.
    this.subscriptions.countKeys(client, keyCount);
    const isTaken =
      !this.subscriptions.asksTooMuch(client) && this.turns.take(client, () => this.unlessTooMuch(client, work));
    if (!isTaken) client.close(CloseCodes.flood);
  }

  private unlessTooMuch(client: RawDataClient, work: () => Promise<void> | undefined): Promise<void> | undefined {
    if (client.state !== 'open') return undefined;
    if (!this.subscriptions.asksTooMuch(client)) return work();
    client.close(CloseCodes.flood);
    return undefined;
  }

  /** Answered when it is in force on every node. */
  private subscribe(
    client: RawDataClient,
    keys: SubscriptionRequest[],
    ref: Ref | undefined,
  ): Promise<void> | undefined {
    const cover = this.coverage.coverKeys(this.subscriptions.acceptable(client, keys));
    const finish = () => {
      try {
        if (client.state === 'open') this.answerSubscribe(client, keys, ref);
      } finally {
        cover.release();
      }
    };
    if (cover.ready !== undefined) return cover.ready.then(finish);
    finish();
    return undefined;
  }

  private answerSubscribe(client: RawDataClient, keys: SubscriptionRequest[], ref: Ref | undefined): void {
    const result = this.subscriptions.subscribe(client, keys);
    client.offer(Frame.text(serverMessage('subscribed', result, refOf(ref))));
    for (const key of result.keys) this.sendSnapshot(client, key);
  }

  private unsubscribe(client: RawDataClient, keys: readonly KeyAddress[], ref: Ref | undefined): undefined {
    const unsubscribed = this.subscriptions.unsubscribe(client, keys);
    const answer = serverMessage('unsubscribed', { keys: unsubscribed }, refOf(ref));
    client.offer(Frame.separator(answer, unsubscribed));
  }

  recheck(client: RawDataClient): ServerEvents['subscribed'] {
    return this.subscriptions.recheck(client);
  }
}

/** One bad key refuses the whole message, so that a client never has half of what it asked for. */
function checkKeys(keys: readonly KeyAddress[], ref: Ref | undefined): void {
  for (const { businessType, businessId } of keys) {
    const typeFault = partFault(businessType);
    if (typeFault !== undefined) throw new BadMessageError(`businessType ${typeFault}`, ref);
    const idFault = businessId === ANY_BUSINESS_ID ? undefined : partFault(businessId);
    if (idFault !== undefined) throw new BadMessageError(`businessId ${idFault}`, ref);
  }
}
