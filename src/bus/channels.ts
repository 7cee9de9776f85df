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
export type JoinParts = (...parts: readonly string[]) => string;

/** Names the channels that raw data travel on: one for each thing that a push can be addressed to. */
export class Channels {
  constructor(private readonly join: JoinParts) {}

  /** What whoever wants this has to be subscribed to. */
  of(interest: Interest): ChannelName {
    const name = this.nameOf(interest);
    if (interest.kind !== 'key') return { name, isPattern: false };
    const { businessId } = interest;
    if (businessId === ANY_BUSINESS_ID) return { name, isPattern: true };
    return { name, isPattern: false, coveredBy: this.nameOf({ ...interest, businessId: ANY_BUSINESS_ID }) };
  }

  /** The channel that a push is sent on. */
  nameOf(addressed: Interest): string {
    switch (addressed.kind) {
      case 'key': {
        const { businessType, businessId } = addressed;
        const id = businessId === ANY_BUSINESS_ID ? '*' : encodePart(businessId);
        return this.join('raw', 'key', encodePart(businessType), id);
      }
      case 'type':
        return this.join('raw', 'type', encodePart(addressed.businessType));
      case 'user':
        return this.join('raw', 'user', encodePart(addressed.userName));
      case 'client':
        return this.join('raw', 'client', encodePart(addressed.clientId));
      case 'everybody':
        return this.join('raw', 'everybody');
    }
  }

  /** Where a node sends something to itself, to see whether it arrives. */
  probeOf(nodeId: string): ChannelName {
    return { name: this.join('raw', 'probe', encodePart(nodeId)), isPattern: false };
  }

  /** Matches no channel that there is: whether Redis lets a node subscribe to patterns is seen by it. */
  trialPatternOf(nodeId: string): ChannelName {
    return { name: this.join('raw', 'trial', encodePart(nodeId), '*'), isPattern: true };
  }
}

/** No part holds a `:`, nor anything that Redis' patterns give a meaning to: of those encodeURIComponent leaves `*` alone. */
function encodePart(part: string): string {
  return encodeURIComponent(part).replaceAll('*', '%2A');
}
