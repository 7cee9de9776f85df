import { fileURLToPath } from 'node:url';
import { Child } from './child.js';
import { within } from './deadline.js';
import type { SlowConnection, SlowReport } from './slow.program.js';

/**
 * Clients in a process of their own, so that they can really stop: a paused stream still acknowledges what the kernel
 * takes for it.
 */
export class SlowClients {
  private readonly latest: SlowReport[] = [];

  private constructor(private readonly child: Child) {}

  static async connect(connections: readonly SlowConnection[]): Promise<SlowClients> {
    const program = fileURLToPath(new URL('./slow.program.ts', import.meta.url));
    const clients = new SlowClients(Child.node(program, [], { SLOW_CONNECTIONS: JSON.stringify(connections) }));
    for (const index of connections.keys()) await clients.until(index, ({ isOpen }) => isOpen, 'it is open', 15_000);
    return clients;
  }

  stop(): void {
    this.child.kill('SIGSTOP');
  }

  continue(): void {
    this.child.kill('SIGCONT');
  }

  /** The first report of a connection that meets the condition. */
  async until(
    index: number,
    condition: (report: SlowReport) => boolean,
    what: string,
    deadlineMs = 5000,
  ): Promise<SlowReport> {
    const search = async (): Promise<SlowReport> => {
      for (;;) {
        const report = this.latest[index];
        if (report !== undefined && condition(report)) return report;
        const [line] = await this.child.line(/^\{.*\}$/, deadlineMs);
        const next = JSON.parse(line) as SlowReport;
        this.latest[next.index] = next;
      }
    };
    return within(search(), `connection ${index}: ${what}, not ${JSON.stringify(this.latest[index])}`, deadlineMs);
  }
}
