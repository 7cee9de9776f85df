import type { Interest } from '../fan-out/interest.js';
import { ANY_BUSINESS_ID } from '../protocol/messages.js';

/** What is subscribed to: a channel, or a pattern of channels. */
export interface ChannelName {
  readonly name: string;
  readonly isPattern: boolean;
  /** The pattern that covers this channel. */
  readonly coveredBy?: string;
}

/** Makes a name out of parts without `:`, as RedisConnection.key does. */
export type NameOf = (...parts: readonly string[]) => string;

/** Names the channels that raw data travel on: one for each thing that a push can be addressed to. */
export class Channels {
  constructor(private readonly nameOf: NameOf) {}

  of(interest: Interest): ChannelName {
    switch (interest.kind) {
      case 'key': {
        const { businessType, businessId } = interest;
        const pattern = this.nameOf('raw', 'key', encodePart(businessType), '*');
        if (businessId === ANY_BUSINESS_ID) return { name: pattern, isPattern: true };
        const name = this.nameOf('raw', 'key', encodePart(businessType), encodePart(businessId));
        return { name, isPattern: false, coveredBy: pattern };
      }
      case 'type':
        return channel(this.nameOf('raw', 'type', encodePart(interest.businessType)));
      case 'user':
        return channel(this.nameOf('raw', 'user', encodePart(interest.userName)));
      case 'client':
        return channel(this.nameOf('raw', 'client', encodePart(interest.clientId)));
      case 'everybody':
        return channel(this.nameOf('raw', 'everybody'));
    }
  }

  /** Where a node sends something to itself, to see whether it arrives. */
  probeOf(nodeId: string): ChannelName {
    return channel(this.nameOf('raw', 'probe', encodePart(nodeId)));
  }
}

function channel(name: string): ChannelName {
  return { name, isPattern: false };
}

/** No part holds a `:`, nor anything that Redis' patterns give a meaning to: of those encodeURIComponent leaves `*` alone. */
function encodePart(part: string): string {
  return encodeURIComponent(part).replaceAll('*', '%2A');
}
