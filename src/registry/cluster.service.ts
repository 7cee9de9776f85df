import {
  Inject,
  Injectable,
  type OnApplicationBootstrap,
  type OnApplicationShutdown,
  type OnModuleInit,
} from '@nestjs/common';
import { type ClientCounts, CLUSTER, type Cluster, type ClusterQuestion, type NodeInfo } from '../bus/cluster.js';
import { ClientList, type ListedClient } from './client.list.js';

export interface NodeCounts extends ClientCounts {
  readonly nodeId: string;
}

export type ClusterClient = ListedClient & {
  /** The node that it is connected to. */
  readonly nodeId: string;
};

export interface ClusterClientsPage {
  /** Clients of all nodes that answered, on all pages. */
  readonly total: number;
  /** How many clients each node that answered has. */
  readonly nodes: readonly NodeCounts[];
  /** Nodes that did not answer in time: their clients are missing. */
  readonly unanswered: readonly string[];
  readonly clients: readonly ClusterClient[];
}

/** Which clients of a node. */
interface Slice {
  readonly offset: number;
  readonly limit: number;
}

const COUNT: ClusterQuestion<null, ClientCounts> = { name: 'count' };
const LIST: ClusterQuestion<Slice, readonly ListedClient[]> = { name: 'list' };

const DEFAULT_LIMIT = 100;

/** All nodes that share this node's Redis, and their clients; without Redis this node alone. */
@Injectable()
export class ClusterService implements OnModuleInit, OnApplicationBootstrap, OnApplicationShutdown {
  private stops: (() => void)[] = [];

  constructor(
    @Inject(CLUSTER) private readonly cluster: Cluster,
    private readonly list: ClientList,
  ) {}

  onModuleInit(): void {
    this.stops = [
      this.cluster.onAsked(COUNT, () => this.list.counts()),
      this.cluster.onAsked(LIST, ({ offset, limit }) => this.list.page(offset, limit).clients),
    ];
  }

  async onApplicationBootstrap(): Promise<void> {
    await this.cluster.join(() => this.list.counts());
  }

  onApplicationShutdown(): void {
    for (const stop of this.stops) stop();
  }

  /** Names this node; another one after each start. */
  get nodeId(): string {
    return this.cluster.nodeId;
  }

  /**
   * The living nodes, the one that started first before the others, with their clients as they were counted some seconds ago.
   * One that was killed is among them for up to 15 s. Rejects with ClusterUnavailableError while Redis does not answer.
   */
  nodes(): Promise<NodeInfo[]> {
    return this.cluster.nodes();
  }

  /**
   * The clients of all nodes, in the order of {@link nodes}; of each node those of the raw-data gateway first, each gateway's
   * oldest first. Clients that leave between two pages move the rest up. `limit` is 100 by default. Takes some milliseconds,
   * and up to 4 s where a node does not answer. Rejects with ClusterUnavailableError while Redis does not answer.
   */
  async clients({ offset = 0, limit = DEFAULT_LIMIT }: Partial<Slice> = {}): Promise<ClusterClientsPage> {
    const ids = (await this.cluster.nodes()).map(({ nodeId }) => nodeId);
    const counts = await Promise.all(ids.map((nodeId) => this.countsOf(nodeId)));
    const nodes = ids.flatMap((nodeId, index) => {
      const count = counts[index];
      return count === undefined ? [] : [{ nodeId, ...count }];
    });
    const slices = slicesOf(nodes, { offset, limit });
    const pages = await Promise.all(slices.map(({ nodeId, ...slice }) => this.clientsOf(nodeId, slice)));
    // Between the two questions a node may have died.
    const died = new Set(slices.flatMap(({ nodeId }, index) => (pages[index] === undefined ? [nodeId] : [])));
    const answered = nodes.filter(({ nodeId }) => !died.has(nodeId));
    return {
      total: answered.reduce((total, node) => total + sizeOf(node), 0),
      nodes: answered,
      unanswered: ids.filter((id) => !answered.some(({ nodeId }) => nodeId === id)),
      clients: pages.flatMap((page = []) => page),
    };
  }

  private async countsOf(nodeId: string): Promise<ClientCounts | undefined> {
    return nodeId === this.nodeId ? this.list.counts() : this.cluster.ask(nodeId, COUNT, null);
  }

  private async clientsOf(nodeId: string, slice: Slice): Promise<ClusterClient[] | undefined> {
    const clients =
      nodeId === this.nodeId
        ? this.list.page(slice.offset, slice.limit).clients
        : await this.cluster.ask(nodeId, LIST, slice);
    // On the way a date is text.
    return clients?.map((client) => ({ nodeId, ...client, connectedAt: new Date(client.connectedAt) }));
  }
}

function sizeOf({ rawData, alarms }: ClientCounts): number {
  return rawData + alarms;
}

/** What of each node is on the page; nodes of which nothing is are left out. */
function slicesOf(nodes: readonly NodeCounts[], { offset, limit }: Slice): (Slice & { nodeId: string })[] {
  const slices: (Slice & { nodeId: string })[] = [];
  let before = 0;
  for (const node of nodes) {
    const start = Math.max(0, offset - before);
    const end = Math.min(sizeOf(node), offset + limit - before);
    if (end > start) slices.push({ nodeId: node.nodeId, offset: start, limit: end - start });
    before += sizeOf(node);
  }
  return slices;
}
