import { Controller, Get, Header, Query, UseGuards } from '@nestjs/common';
import { InvalidPushError } from '../../push.errors.js';
import { ClientList, type ClientsPage } from '../../registry/client.list.js';
import { type ClusterClientsPage, ClusterService } from '../../registry/cluster.service.js';
import { PublishGuard } from './publish.guard.js';
import { checkQueryNames, type Query as PageQuery } from './push-query.js';

const DEFAULT_LIMIT = 100;
const MAX_LIMIT = 1000;

@Controller('push/clients')
@UseGuards(PublishGuard)
export class ClientsController {
  constructor(
    private readonly list: ClientList,
    private readonly cluster: ClusterService,
  ) {}

  /**
   * The clients of this node, those of the raw-data gateway first, each gateway's oldest first; with `?scope=cluster` those of
   * all nodes, the node that started first before the others, and nodes that did not answer are named. `?limit=` 1 to 1000, 100
   * by default, and `?offset=`. Clients that leave between two pages move the rest up. 503 where the scope is the cluster and
   * Redis does not answer.
   */
  @Get()
  @Header('Cache-Control', 'no-store')
  async page(@Query() query: PageQuery): Promise<ClientsPage | ClusterClientsPage> {
    checkQueryNames(query, ['scope', 'limit', 'offset']);
    const limit = numberFrom(query, 'limit', DEFAULT_LIMIT, 1, MAX_LIMIT);
    const offset = numberFrom(query, 'offset', 0, 0, Number.MAX_SAFE_INTEGER);
    return isOfCluster(query) ? this.cluster.clients({ offset, limit }) : this.list.page(offset, limit);
  }
}

function isOfCluster({ scope }: PageQuery): boolean {
  if (scope === undefined || scope === 'node') return false;
  if (scope === 'cluster') return true;
  throw new InvalidPushError('scope', 'must be node or cluster');
}

function numberFrom(query: PageQuery, name: string, fallback: number, min: number, max: number): number {
  const text = query[name];
  if (text === undefined) return fallback;
  const value = typeof text === 'string' && /^\d{1,16}$/.test(text) ? Number(text) : Number.NaN;
  if (value >= min && value <= max) return value;
  throw new InvalidPushError(name, `must be a whole number from ${min} to ${max}`);
}
