/** Does what a client asks for in the order in which it asked, where some of that has to wait. */
export class ClientTurns<C extends object> {
  private readonly waiting = new WeakMap<C, Promise<void>>();
  private readonly counts = new WeakMap<C, number>();

  /** `onFailed` is told of what was to wait and failed; what comes behind it goes on. */
  constructor(
    private readonly maxWaiting: number,
    private readonly onFailed: (client: C, cause: unknown) => void,
  ) {}

  /**
   * Runs `work` at once where nothing of this client waits, else behind it; undefined says that it is done with. False:
   * too much waits already, and it is not run.
   */
  take(client: C, work: () => Promise<void> | undefined): boolean {
    const before = this.waiting.get(client);
    const count = this.counts.get(client) ?? 0;
    if (count >= this.maxWaiting) return false;
    const done = before === undefined ? work() : before.then(work);
    if (done === undefined) return true;
    this.counts.set(client, count + 1);
    const settled = done
      .catch((cause: unknown) => this.onFailed(client, cause))
      .finally(() => this.leave(client, settled));
    this.waiting.set(client, settled);
    return true;
  }

  private leave(client: C, settled: Promise<void>): void {
    this.counts.set(client, (this.counts.get(client) ?? 1) - 1);
    if (this.waiting.get(client) === settled) this.waiting.delete(client);
  }
}
