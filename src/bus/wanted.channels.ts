import type { ChannelName } from './channels.js';

/** What has to be subscribed to now, of channels or of patterns. */
export type Names = ReadonlySet<string>;

/**
 * Which channels and patterns a node has to be subscribed to: each while it is wanted, but no channel while a pattern
 * covers it, or its data would come twice.
 */
export class WantedChannels {
  private readonly counts = new Map<string, number>();
  /** Channels that are wanted, by the pattern that covers them where it is wanted too. */
  private readonly covered = new Map<string, Set<string>>();
  private readonly neededChannels = new Set<string>();
  private readonly neededPatterns = new Set<string>();

  /** `onChanged` is called with each name that has to be subscribed to from now on, or no longer. */
  constructor(private readonly onChanged: (name: string, isPattern: boolean) => void) {}

  get channels(): Names {
    return this.neededChannels;
  }

  get patterns(): Names {
    return this.neededPatterns;
  }

  want({ name, isPattern, coveredBy }: ChannelName): void {
    const count = (this.counts.get(name) ?? 0) + 1;
    this.counts.set(name, count);
    if (count > 1) return;
    if (isPattern) {
      this.change(this.neededPatterns, name, true);
      for (const channel of this.covered.get(name) ?? []) this.change(this.neededChannels, channel, false);
      return;
    }
    if (coveredBy !== undefined) this.cover(name, coveredBy);
    if (coveredBy === undefined || !this.counts.has(coveredBy)) this.change(this.neededChannels, name, true);
  }

  giveUp({ name, isPattern, coveredBy }: ChannelName): void {
    const count = (this.counts.get(name) ?? 0) - 1;
    if (count > 0) this.counts.set(name, count);
    if (count !== 0) return;
    this.counts.delete(name);
    if (isPattern) {
      for (const channel of this.covered.get(name) ?? []) this.change(this.neededChannels, channel, true);
      this.change(this.neededPatterns, name, false);
      return;
    }
    if (coveredBy !== undefined) this.uncover(name, coveredBy);
    this.change(this.neededChannels, name, false);
  }

  private cover(channel: string, pattern: string): void {
    const channels = this.covered.get(pattern);
    if (channels === undefined) this.covered.set(pattern, new Set([channel]));
    else channels.add(channel);
  }

  private uncover(channel: string, pattern: string): void {
    const channels = this.covered.get(pattern);
    channels?.delete(channel);
    if (channels?.size === 0) this.covered.delete(pattern);
  }

  private change(needed: Set<string>, name: string, isNeeded: boolean): void {
    if (needed.has(name) === isNeeded) return;
    if (isNeeded) needed.add(name);
    else needed.delete(name);
    this.onChanged(name, needed === this.neededPatterns);
  }
}
