import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { type ArgumentOf, CallBook, type ResultOf } from '../bench/rpc.js';
import { within } from '../support/deadline.js';

const CALL_DEADLINE_MS = 60_000;
const EXIT_DEADLINE_MS = 10_000;
const MAX_ERROR_LENGTH = 16_000;
const running = new Set<ChildProcess>();

process.on('exit', killAll);

/** Ends every process that is left. */
export function killAll(): void {
  for (const child of running) child.kill('SIGKILL');
}

/** A process that offers the procedures of `A`, to be stopped and killed at any moment. */
export class FaultProcess<A extends object> {
  private readonly book = new CallBook();
  private readonly child: ChildProcess;
  private readonly exited: Promise<unknown>;
  private errors = '';

  constructor(
    program: string,
    private readonly name: string,
    environment: Readonly<Record<string, string>> = {},
  ) {
    const { PATH = '' } = process.env;
    this.child = spawn(process.execPath, ['--enable-source-maps', program], {
      stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
      // JSON has no Infinity, which is the least of nothing.
      serialization: 'advanced',
      env: { PATH, NODE_ENV: 'production', ...environment },
    });
    running.add(this.child);
    this.child.stderr?.on('data', (chunk: Buffer) => {
      this.errors = (this.errors + chunk.toString()).slice(-MAX_ERROR_LENGTH);
    });
    this.child.on('message', (message) => this.book.settle(message));
    this.exited = once(this.child, 'exit');
    this.child.once('exit', (code, signal) => {
      running.delete(this.child);
      this.book.failAll(`the process ${name} ended (${signal ?? code}): ${this.errors}`);
    });
  }

  /** What it wrote to its error output, as far as it is kept. */
  get errorOutput(): string {
    return this.errors;
  }

  async call<M extends keyof A & string>(method: M, argument: ArgumentOf<A, M>): Promise<ResultOf<A, M>> {
    if (!this.child.connected) throw new Error(`the process ${this.name} is gone: ${this.errors}`);
    const { call, reply } = this.book.create(method, argument);
    this.child.send(call);
    return (await within(reply, `${this.name} answers ${method}`, CALL_DEADLINE_MS)) as ResultOf<A, M>;
  }

  signal(signal: 'SIGSTOP' | 'SIGCONT'): void {
    this.child.kill(signal);
  }

  /** kill -9. */
  async kill(): Promise<void> {
    this.child.kill('SIGKILL');
    await within(this.exited, `${this.name} is gone`, EXIT_DEADLINE_MS);
  }
}
