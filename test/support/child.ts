import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { afterEach } from '@jest/globals';
import { within } from './deadline.js';

const project = fileURLToPath(new URL('../../', import.meta.url));
const running = new Set<Child>();

afterEach(() => {
  for (const child of running) child.kill('SIGKILL');
});

/** A process of its own, whose lines the test reads. Killed with the test. */
export class Child {
  readonly exited: Promise<{ code: number | null; signal: string | null }>;
  private readonly lines: AsyncIterator<string>;
  private errors = '';

  private constructor(private readonly process: ChildProcess) {
    const { stdout, stderr } = process;
    if (stdout === null || stderr === null) throw new Error('the child has no output');
    this.lines = createInterface({ input: stdout })[Symbol.asyncIterator]();
    stderr.on('data', (chunk: Buffer) => (this.errors += chunk.toString()));
    this.exited = once(process, 'exit').then(([code, signal]) => {
      running.delete(this);
      return { code: code as number | null, signal: signal as string | null };
    });
    running.add(this);
  }

  /** Runs a file of this project in Node, without a build. */
  static node(file: string, flags: readonly string[] = [], environment: Readonly<Record<string, string>> = {}): Child {
    const register = fileURLToPath(new URL('./typescript.register.js', import.meta.url));
    return Child.run(process.execPath, [...flags, '--import', register, file], environment);
  }

  static run(
    command: string,
    parameters: readonly string[],
    environment: Readonly<Record<string, string>> = {},
    folder = project,
  ): Child {
    const { PATH = '' } = process.env;
    return new Child(spawn(command, parameters, { cwd: folder, env: { PATH, ...environment } }));
  }

  /** The next line of its output that matches. */
  async line(pattern: RegExp, deadlineMs = 15_000): Promise<RegExpExecArray> {
    const search = async (): Promise<RegExpExecArray> => {
      for (;;) {
        const { done, value } = await this.lines.next();
        if (done === true) throw new Error(`the child ended without ${pattern}: ${this.errors}`);
        const match = pattern.exec(value);
        if (match !== null) return match;
      }
    };
    return within(search(), `a line like ${pattern}`, deadlineMs);
  }

  kill(signal: NodeJS.Signals): void {
    this.process.kill(signal);
  }
}
