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

/** Channels of keys whose names are remembered: naming one costs more than all else that a bus does with a datum. */
const MAX_REMEMBERED = 10_000;

/** Names the channels that raw data travel on: one for each thing that a push can be addressed to. */
export class Channels {
  /** By businessType and businessId. */
  private readonly ofKeys = new Map<string, Map<string, string>>();
  private rememberedCount = 0;

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
      case 'key':
        return this.ofKey(addressed.businessType, addressed.businessId);
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

  private ofKey(businessType: string, businessId: string): string {
    const known = this.ofKeys.get(businessType)?.get(businessId);
    if (known !== undefined) return known;
    const id = businessId === ANY_BUSINESS_ID ? '*' : encodePart(businessId);
    const name = this.join('raw', 'key', encodePart(businessType), id);
    this.remember(businessType, businessId, name);
    return name;
  }

  private remember(businessType: string, businessId: string, name: string): void {
    if (this.rememberedCount >= MAX_REMEMBERED) {
      this.ofKeys.clear();
      this.rememberedCount = 0;
    }
    const ofType = this.ofKeys.get(businessType) ?? new Map<string, string>();
    this.ofKeys.set(businessType, ofType.set(businessId, name));
    this.rememberedCount += 1;
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
