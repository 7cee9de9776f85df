import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { stripVTControlCharacters } from 'node:util';
import { afterEach } from '@jest/globals';
import { until } from './deadline.js';

const running = new Set<LoggedProcess>();

afterEach(async () => {
  await Promise.all([...running].map((each) => each.end()));
});

/** A process of its own that several write the log of, and all that they wrote. Killed with the test. */
export class LoggedProcess {
  readonly lines: string[] = [];
  readonly exited: Promise<number | string>;

  private constructor(private readonly process: ChildProcess) {
    for (const output of [process.stdout, process.stderr]) {
      if (output === null) throw new Error('the process has no output');
      createInterface({ input: output }).on('line', (line) => this.lines.push(stripVTControlCharacters(line)));
    }
    this.exited = once(process, 'exit').then(([code, signal]) => {
      running.delete(this);
      return (code ?? signal) as number | string;
    });
    running.add(this);
  }

  /** Runs a file in Node, in this folder and with nothing else in its environment. */
  static node(
    file: string,
    folder: string,
    environment: Readonly<Record<string, string>>,
    parameters: readonly string[] = [],
  ): LoggedProcess {
    return LoggedProcess.run(process.execPath, [file, ...parameters], folder, environment);
  }

  /** As {@link node}, of another program. */
  static run(
    command: string,
    parameters: readonly string[],
    folder: string,
    environment: Readonly<Record<string, string>> = {},
  ): LoggedProcess {
    const { PATH = '' } = process.env;
    return new LoggedProcess(spawn(command, parameters, { cwd: folder, env: { PATH, ...environment } }));
  }

  get pid(): number {
    return this.process.pid ?? 0;
  }

  /** The lines that match. */
  having(pattern: RegExp): string[] {
    return this.lines.filter((line) => pattern.test(line));
  }

  /** Waits until so many lines match. */
  async logged(pattern: RegExp, count = 1, deadlineMs = 30_000): Promise<void> {
    await until(() => this.having(pattern).length >= count, `${pattern}`, deadlineMs).catch(() => {
      throw new Error(`there are no ${count} lines like ${pattern} in:\n${this.lines.join('\n')}`);
    });
  }

  kill(signal: NodeJS.Signals): void {
    this.process.kill(signal);
  }

  async end(): Promise<void> {
    this.kill('SIGKILL');
    await this.exited;
  }
}
