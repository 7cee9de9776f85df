import { describe, expect, test } from '@jest/globals';
import { Authenticator, type Handshake, type Principal } from '../../src/index.js';
import { gatewayOn, PLATFORMS } from '../support/gateway.fixture.js';
import { rawUpgrade } from '../support/raw-upgrade.js';

class QueryAuthenticator extends Authenticator {
  authenticate({ query }: Handshake): Principal {
    return { userName: query.get('as') ?? '', keys: query.getAll('key') };
  }
}

describe.each(PLATFORMS)('authorisation on %s', (platform) => {
  const start = () => gatewayOn(platform).withOptions({ authenticator: new QueryAuthenticator() }).start();

  test.each([
    ['another user', '/ws/rowdata/meter/5/ann?as=bob&key=meter/5', 'forbiddenUser'],
    ['a key that no claim covers', '/ws/rowdata/meter/50/ann?as=ann&key=meter/5', 'forbiddenKey'],
    ['no claim', '/ws/rowdata/meter/5/ann?as=ann', 'forbiddenKey'],
  ])('%s is refused before the upgrade', async (_what, path, error) => {
    const gateway = await start();
    expect(await rawUpgrade(gateway.port, { path })).toMatchObject({ status: 403, json: { statusCode: 403, error } });
    expect(gateway.rawData.count()).toBe(0);
  });

  test('claims bound subscriptions, wildcards and broadcasts', async () => {
    const gateway = await start();
    const client = await gateway.connectPushV1('/ws/rowdata/meter/5/ann?as=ann&key=meter/5&key=pump/*');
    const keys = [
      { businessType: 'meter', businessId: '6' },
      { businessType: 'meter', businessId: '*' },
      { businessType: 'pump', businessId: '*' },
    ];
    expect(await client.ask('subscribe', { keys })).toEqual({
      event: 'subscribed',
      data: {
        keys: [keys[2]],
        refused: [
          { businessType: 'meter', businessId: '6', reason: 'forbidden' },
          { businessType: 'meter', businessId: '*', reason: 'forbidden' },
        ],
      },
    });
    const { push } = gateway;
    expect(push.pushRawData({ businessType: 'meter' })).toEqual({ matched: 0 });
    expect(push.pushRawData({ businessType: 'pump' })).toEqual({ matched: 1 });
    expect(push.pushRawData({ businessType: 'pump', businessId: '9' })).toEqual({ matched: 1 });
  });
});
