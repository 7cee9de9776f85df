import { beforeEach, describe, expect, test } from '@jest/globals';
import { ClusterUnavailableError } from '../../src/push.errors.js';
import type { ClientList, ListedClient } from '../../src/registry/client.list.js';
import { ClusterService } from '../../src/registry/cluster.service.js';
import { MemoryCluster } from '../support/memory.cluster.js';

const CONNECTED_AT = new Date(1_700_000_000_000);

function client(clientId: string): ListedClient {
  return {
    gateway: 'rawData',
    clientId,
    key: clientId,
    userName: '',
    remoteAddress: '',
    wireFormat: 'plain',
    connectedAt: CONNECTED_AT,
    inFlightBytes: 0,
    outboxBytes: 0,
    behind: 0,
    conflated: 0,
  };
}

/** A node with so many clients, whose ids say where they are. */
class Node {
  readonly service: ClusterService;
  clients: ListedClient[];

  constructor(
    readonly cluster: MemoryCluster,
    name: string,
    count: number,
  ) {
    this.clients = Array.from({ length: count }, (_, n) => client(`${name}${n}`));
    const list: Pick<ClientList, 'counts' | 'page'> = {
      counts: () => ({ rawData: this.clients.length, alarms: 0 }),
      page: (offset, limit) => ({
        total: this.clients.length,
        clients: this.clients.slice(offset, offset + limit),
      }),
    };
    this.service = new ClusterService(cluster, list as ClientList);
    this.service.onModuleInit();
  }
}

let nodes: [Node, Node, Node, Node];

beforeEach(async () => {
  const cluster = new MemoryCluster();
  nodes = [
    new Node(cluster, 'a', 3),
    new Node(cluster.another(), 'b', 0),
    new Node(cluster.another(), 'c', 5),
    new Node(cluster.another(), 'd', 2),
  ];
  for (const { service } of nodes) await service.onApplicationBootstrap();
});

const ALL = ['a0', 'a1', 'a2', 'c0', 'c1', 'c2', 'c3', 'c4', 'd0', 'd1'];

async function idsOn(node: Node, page?: { offset?: number; limit?: number }): Promise<string[]> {
  return (await node.service.clients(page)).clients.map(({ clientId }) => clientId);
}

describe('the clients of all nodes', () => {
  test('are the same on each, in one order, and say where they are', async () => {
    for (const node of nodes) {
      const { clients, ...others } = await node.service.clients();
      expect(clients.map(({ clientId }) => clientId)).toEqual(ALL);
      expect(others).toEqual({
        total: 10,
        nodes: nodes.map((each) => ({ nodeId: each.service.nodeId, rawData: each.clients.length, alarms: 0 })),
        unanswered: [],
      });
      expect(clients[3]).toEqual({ nodeId: nodes[2].service.nodeId, ...client('c0') });
      expect(clients[0]).toEqual({ nodeId: nodes[0].service.nodeId, ...client('a0') });
    }
  });

  test('in pages of every size nobody is missing and nobody comes twice', async () => {
    for (let limit = 1; limit <= 11; limit++) {
      const pages: string[] = [];
      for (let offset = 0; offset < 12; offset += limit) pages.push(...(await idsOn(nodes[1], { offset, limit })));
      expect(pages).toEqual(ALL);
    }
    expect(await idsOn(nodes[3], { offset: 10 })).toEqual([]);
  });

  test('are 100 on a page where nothing else is said', async () => {
    nodes[2].clients = Array.from({ length: 200 }, (_, n) => client(`c${n}`));
    expect(await idsOn(nodes[0])).toHaveLength(100);
  });

  test('a node that does not answer is named', async () => {
    nodes[2].cluster.lose();
    const { clients, ...others } = await nodes[0].service.clients();
    expect(clients.map(({ clientId }) => clientId)).toEqual(['a0', 'a1', 'a2', 'd0', 'd1']);
    expect(others).toMatchObject({ total: 5, unanswered: [nodes[2].service.nodeId] });
    expect(others.nodes).toHaveLength(3);
  });

  test('also one that dies between two questions', async () => {
    const { service, cluster } = nodes[2];
    cluster.onAsked({ name: 'list' }, () => Promise.reject(new Error('it dies')));
    const { clients, ...others } = await nodes[0].service.clients();
    expect(clients).toHaveLength(5);
    expect(others).toMatchObject({ total: 5, unanswered: [service.nodeId] });
  });

  test('cannot be told while nobody knows the nodes', async () => {
    nodes[0].cluster.nodes = () => Promise.reject(new ClusterUnavailableError(new Error('Redis is away')));
    await expect(nodes[0].service.clients()).rejects.toBeInstanceOf(ClusterUnavailableError);
    await expect(nodes[0].service.nodes()).rejects.toBeInstanceOf(ClusterUnavailableError);
  });
});

test('the nodes, with their counts', async () => {
  const all = await nodes[1].service.nodes();
  expect(all.map(({ nodeId, rawData }) => [nodeId, rawData])).toEqual(
    nodes.map(({ service, clients }) => [service.nodeId, clients.length]),
  );
});

test('a node that ends answers no more', async () => {
  nodes[2].service.onApplicationShutdown();
  expect((await nodes[0].service.clients()).unanswered).toEqual([nodes[2].service.nodeId]);
});
