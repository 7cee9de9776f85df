import type { SubscriptionRequest } from '../protocol/messages.js';
import type { AlarmOptions, RawDataOptions } from './options.js';
import { surroundings } from './surroundings.js';

type Parameters = Readonly<Record<string, string | number | boolean | readonly string[] | undefined>>;

/** Also of a web address, or of a path of the page's own server. Throws a TypeError where there is no server. */
function webSocketUrl(address: string): string {
  const url = address.startsWith('/') ? `${surroundings.location?.origin}${address}` : address;
  if (!/^(ws|http)s?:\/\//.test(url)) throw new TypeError(`no server in "${address}": give a "url" or "base"`);
  return url.replace(/^http/, 'ws');
}

export function withQuery(url: string, parameters: Parameters): string {
  const pairs = Object.entries(parameters).flatMap(([name, value]) =>
    [value ?? []].flat().map((each) => `${name}=${encodeURIComponent(each)}`),
  );
  return pairs.length === 0 ? url : `${url}${url.includes('?') ? '&' : '?'}${pairs.join('&')}`;
}

function atBase(base = '', path: string): string {
  return base.replace(/\/$/, '') + path;
}

/** Where raw data come from, and the key that a connection there begins with. */
export function rawDataEndpoint(options: RawDataOptions): { url: string; key: SubscriptionRequest } {
  const { maxFrequencyHz, snapshot, history } = options;
  const asked = { maxFrequencyHz, snapshot, history };
  const address =
    'url' in options
      ? options.url
      : atBase(
          options.base,
          `/ws/rowdata/${[options.businessType, options.businessId, options.userName].map(encodeURIComponent).join('/')}`,
        );
  const [businessType = '', businessId = ''] = address.replace(/\?.*/, '').split('/').slice(-3).map(decodeURIComponent);
  return { url: withQuery(webSocketUrl(address), asked), key: { businessType, businessId, ...asked } };
}

export function alarmEndpoint({ url, base, filters }: AlarmOptions): string {
  return withQuery(webSocketUrl(url ?? atBase(base, '/ws/alarm')), { ...filters });
}
