import type { AfterClose } from '../protocol/close-codes.js';
import type { Source } from './credentials.js';
import type { PlaceStorage } from './place.js';
import type { WebSocketConstructor } from './surroundings.js';

/** What every connection can be told. */
export interface ConnectionOptions {
  /**
   * JSON Web Token, or what fetches one: then it is asked again before the token ends (`exp`), and where the server does
   * not take the one before. A token that is given as text is not replaced: where it ends, the connection stops.
   */
  readonly token?: Source;
  /** Fetches a one-time ticket, for every attempt, in the place of a token. */
  readonly ticket?: () => string | Promise<string>;
  /** Default: the one of the browser or of Node 22. On Node 20: `WebSocket` of the package `ws`. */
  readonly WebSocket?: WebSocketConstructor;
  /** Before the first retry passes a random part of this, before each further one of twice as much. Default: 1000. */
  readonly retryBaseMs?: number;
  /** Largest of these. Default: 15,000. */
  readonly retryCapMs?: number;
  /** How long an attempt may take, until `ready`. Default: 15,000. */
  readonly connectTimeoutMs?: number;
  /** How many messages may wait for a loop; beyond it the loop ends with an error. Default: 10,000. */
  readonly maxQueued?: number;
  /** What to do after a close code, where the application has codes of its own; undefined: as the library does. */
  readonly afterClose?: (code: number, reason: string) => AfterClose | undefined;
}

/** Where raw data come from: the whole address, or its parts. */
export type RawDataAddress =
  | {
      /**
       * `wss://push.example.com/ws/rowdata/meter/m-7/ann`, also with `https:`, or from `/` on for the page's own server.
       * Its last three segments are businessType, businessId and userName.
       */
      readonly url: string;
    }
  | {
      /** `https://push.example.com`. Default: the page's own server. */
      readonly base?: string;
      readonly businessType: string;
      readonly businessId: string;
      /** With tokens the one of the token, else any. */
      readonly userName: string;
    };

export type RawDataOptions = ConnectionOptions &
  RawDataAddress & {
    /** At most so many values of each series a second, the newest wins. Over 0, at most 1000. Default: every value. */
    readonly maxFrequencyHz?: number;
    /** The last value of each series first, also after a reconnect. Default: false. */
    readonly snapshot?: boolean;
    /** Up to so many last values of each series first, also after a reconnect. */
    readonly history?: number;
  };

export interface AlarmOptions extends ConnectionOptions {
  /** `wss://push.example.com/ws/alarm`, also with `https:`, or from `/` on for the page's own server. */
  readonly url?: string;
  /** Without `url`: `https://push.example.com`. Default: the page's own server. */
  readonly base?: string;
  readonly filters?: AlarmFilters;
  /**
   * Where to begin on the first visit: with all alarms that are kept, with the conditions that still hold, or with the
   * last so many (1 to 1000). Default: with the next one.
   */
  readonly replay?: 'all' | 'active' | number;
  /** Name of a durable subscription (1 to 64 of `A-Z a-z 0-9 _ -`): the server keeps the place, and `ack` moves it. */
  readonly durable?: string;
  /**
   * Durable: `auto` acknowledges what the listeners have handled, within a second; with `manual` the application calls
   * `ack`. Default: `auto`.
   */
  readonly acknowledge?: 'auto' | 'manual';
  /**
   * Keeps the place while the page is closed. Default: localStorage where there is one; memory with `durable`, and with
   * `replay: 'active'`, whose page begins with what holds each time.
   */
  readonly storage?: PlaceStorage | 'memory';
  /** Name of the place in the storage. Default: made of the address and the filters. */
  readonly storageKey?: string;
}

export interface AlarmFilters {
  /** Only alarms of this severity or higher, 1 to 1000. */
  readonly minSeverity?: number;
  /** Only alarms with one of these. */
  readonly businessType?: string | readonly string[];
  readonly businessId?: string | readonly string[];
}
