import { fileURLToPath } from 'node:url';
import { Child } from './child.js';
import { DEADLINE_MS } from './deadline.js';
import type { SlowConnection, SlowReport } from './slow.program.js';

/**
 * Clients in a process of their own, so that they can really stop: a paused stream of this process would still be read
 * by Node.
 */
export class SlowClients {
  private readonly latest: SlowReport[] = [];

  private constructor(private readonly child: Child) {}

  /** Resolves once all of them are open. */
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
    deadlineMs = DEADLINE_MS,
  ): Promise<SlowReport> {
    const deadlineAtMs = performance.now() + deadlineMs;
    for (;;) {
      const report = this.latest[index];
      if (report !== undefined && condition(report)) return report;
      const next = await this.nextReport(deadlineAtMs - performance.now()).catch((cause: unknown) => {
        const last = JSON.stringify(this.latest[index]);
        throw new Error(`connection ${index} not within ${deadlineMs} ms: ${what}; its last report: ${last}`, {
          cause,
        });
      });
      this.latest[next.index] = next;
    }
  }

  private async nextReport(deadlineMs: number): Promise<SlowReport> {
    const [line] = await this.child.line(/^\{.*\}$/, Math.max(0, deadlineMs));
    return JSON.parse(line) as SlowReport;
  }
}
