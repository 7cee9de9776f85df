/** How one connection subscribes: to channels, or to patterns. */
export interface SubscribeCommands {
  subscribe(names: string[]): Promise<void>;
  unsubscribe(names: string[]): Promise<void>;
}

/** What one round of changes has to do. */
export interface NameChanges {
  readonly missing: string[];
  readonly surplus: string[];
}

/** The channels, or the patterns, that one connection is subscribed to, beside those that it has to be. */
export class SubscribedNames {
  /** Asked for, and not given up since. */
  private readonly subscribed = new Set<string>();
  private readonly changed: Set<string>;

  constructor(
    private readonly needed: ReadonlySet<string>,
    private readonly commands: SubscribeCommands,
  ) {
    this.changed = new Set(needed);
  }

  /** Has to be called for each name that is needed from now on, or no longer. */
  change(name: string): void {
    this.changed.add(name);
  }

  takeChanges(): NameChanges {
    const changed = [...this.changed];
    this.changed.clear();
    return {
      missing: changed.filter((name) => this.needed.has(name) && !this.subscribed.has(name)),
      surplus: changed.filter((name) => !this.needed.has(name) && this.subscribed.has(name)),
    };
  }

  /** One command, or none. */
  async subscribe({ missing }: NameChanges): Promise<void> {
    for (const name of missing) this.subscribed.add(name);
    if (missing.length > 0) await this.commands.subscribe(missing);
  }

  /** One command, or none; what is needed again by now stays. */
  async unsubscribe({ surplus }: NameChanges): Promise<void> {
    const names = surplus.filter((name) => !this.needed.has(name));
    for (const name of names) this.subscribed.delete(name);
    if (names.length > 0) await this.commands.unsubscribe(names);
  }

  /** The changes could not be made: they are taken again. */
  putBack({ missing, surplus }: NameChanges): void {
    for (const name of missing) this.subscribed.delete(name);
    for (const name of [...missing, ...surplus]) this.changed.add(name);
  }
}
