import { type ChildProcess, spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { type ArgumentOf, CallBook, type ResultOf } from './rpc.js';

const CALL_DEADLINE_MS = 180_000;
const running = new Set<ChildProcess>();

/** A process of the benchmark's own that offers the procedures of `A`. */
export class Child<A extends object> {
  private readonly book = new CallBook();
  private readonly process: ChildProcess;
  private readonly ended: Promise<void>;

  constructor(
    module: URL,
    private readonly name: string,
  ) {
    // As many files as the machine lets one process open; the shell is replaced by node, so signals reach it.
    this.process = spawn(
      'sh',
      [
        '-c',
        'ulimit -n "$(ulimit -Hn)" 2>/dev/null; exec "$0" "$@"',
        process.execPath,
        '--expose-gc',
        fileURLToPath(module),
      ],
      {
        stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
        // JSON has no NaN, which is what an age is where nothing arrived.
        serialization: 'advanced',
        // ws would take an addon that happens to be installed; a Nest team's ws has none.
        env: { ...process.env, WS_NO_BUFFER_UTIL: '1', WS_NO_UTF_8_VALIDATE: '1', NODE_ENV: 'production' },
      },
    );
    running.add(this.process);
    this.process.on('message', (message) => this.book.settle(message));
    this.ended = new Promise((resolve) => {
      this.process.once('exit', (code, signal) => {
        running.delete(this.process);
        this.book.failAll(`the process ${name} ended (${signal ?? code})`);
        resolve();
      });
    });
  }

  async call<M extends keyof A & string>(method: M, argument: ArgumentOf<A, M>): Promise<ResultOf<A, M>> {
    const { call, reply } = this.book.create(method, argument);
    if (!this.process.connected) throw new Error(`the process ${this.name} is gone`);
    this.process.send(call);
    let timer: NodeJS.Timeout | undefined;
    const deadline = new Promise<never>((_, reject) => {
      timer = setTimeout(
        () => reject(new Error(`${this.name} did not answer ${method} within ${CALL_DEADLINE_MS / 1000} s`)),
        CALL_DEADLINE_MS,
      );
    });
    try {
      return (await Promise.race([reply, deadline])) as ResultOf<A, M>;
    } finally {
      clearTimeout(timer);
    }
  }

  stop(): void {
    this.process.kill('SIGSTOP');
  }

  continue(): void {
    this.process.kill('SIGCONT');
  }

  /** Lets the process end by itself; kills it where it does not. */
  async end(): Promise<void> {
    if (this.process.connected) this.process.disconnect();
    const timer = setTimeout(() => this.process.kill('SIGKILL'), 3000);
    await this.ended;
    clearTimeout(timer);
  }
}

/** Kills every process that is left. */
export function killChildren(): void {
  for (const child of running) child.kill('SIGKILL');
}
