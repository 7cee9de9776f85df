import type { Server as HttpServer } from 'node:http';
import { Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { WsAdapter } from '@nestjs/platform-ws';
import { ConnectedSocket, MessageBody, SubscribeMessage, WebSocketGateway } from '@nestjs/websockets';
import type { OnGatewayDisconnect, OnGatewayInit } from '@nestjs/websockets';
import type { WebSocket, WebSocketServer as WsServer } from 'ws';
import type { BenchAlarm } from '../alarm.js';
import type { Datum } from '../datum.js';
import type { AlarmTarget, StartServer } from './bench.server.js';
import { portOf } from './listen.js';

interface SubscribeBody {
  readonly keys: readonly { readonly businessId: string }[];
}

interface PushingGateway {
  push(datum: Datum): number;
  clientCount(): number;
}

/** What a Nest team writes first. */
@WebSocketGateway({ path: '/bench' })
class LoopGateway implements OnGatewayInit<WsServer>, PushingGateway {
  private clients: ReadonlySet<WebSocket> = new Set();

  afterInit(server: WsServer): void {
    this.clients = server.clients;
  }

  push(datum: Datum | BenchAlarm): number {
    for (const client of this.clients) client.send(JSON.stringify(datum));
    return this.clients.size;
  }

  clientCount(): number {
    return this.clients.size;
  }
}

/** The same, where every client chose its keys. */
@WebSocketGateway({ path: '/bench' })
class FilteredLoopGateway implements OnGatewayDisconnect<WebSocket>, PushingGateway {
  private readonly keysByClient = new Map<WebSocket, Set<string>>();

  handleDisconnect(client: WebSocket): void {
    this.keysByClient.delete(client);
  }

  @SubscribeMessage('subscribe')
  subscribe(@ConnectedSocket() client: WebSocket, @MessageBody() { keys }: SubscribeBody) {
    this.keysByClient.set(client, new Set(keys.map(({ businessId }) => businessId)));
    return { event: 'subscribed', data: {} };
  }

  push(datum: Datum): number {
    let matched = 0;
    for (const [client, keys] of this.keysByClient) {
      if (!keys.has(datum.businessId)) continue;
      client.send(JSON.stringify(datum));
      matched += 1;
    }
    return matched;
  }

  clientCount(): number {
    return this.keysByClient.size;
  }
}

@Module({ providers: [LoopGateway] })
class LoopModule {}

@Module({ providers: [FilteredLoopGateway] })
class FilteredLoopModule {}

export const startWsAdapter: StartServer = async ({ isFiltered = false }) => {
  const app = await NestFactory.create(isFiltered ? FilteredLoopModule : LoopModule, { logger: ['error', 'warn'] });
  app.useWebSocketAdapter(new WsAdapter(app));
  await app.listen(0, '127.0.0.1');
  const gateway: PushingGateway = isFiltered ? app.get(FilteredLoopGateway) : app.get(LoopGateway);
  const loop = isFiltered ? undefined : app.get(LoopGateway);
  return {
    port: portOf(app.getHttpServer() as HttpServer),
    push: (datum) => gateway.push(datum),
    clientCount: () => gateway.clientCount(),
    ...(loop === undefined ? {} : { alarms: alarmsInLoop(loop) }),
  };
};

/** Accepted as soon as they are sent: there is no log. */
function alarmsInLoop(loop: LoopGateway): AlarmTarget {
  const push: AlarmTarget['push'] = async (alarm) => void loop.push(alarm);
  return {
    push,
    async pushAll(alarms) {
      for (const alarm of alarms) await push(alarm);
    },
  };
}
