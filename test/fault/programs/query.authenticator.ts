import { Authenticator, type Handshake, type Principal } from '../../../src/index.js';

/** Believes what the query says: who a client is and whose alarms it may see. */
export class QueryAuthenticator extends Authenticator {
  authenticate({ query }: Handshake): Principal {
    const orgId = query.get('org');
    return { userName: query.get('user') ?? '', ...(orgId === null ? {} : { orgId }) };
  }
}
