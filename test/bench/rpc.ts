/** Calls between the benchmark and the processes that it starts, over Node's IPC channel. */
interface Call {
  readonly id: number;
  readonly method: string;
  readonly argument: unknown;
}

interface Reply {
  readonly id: number;
  readonly result?: unknown;
  readonly error?: string;
}

export type ArgumentOf<A, M extends keyof A> = A[M] extends (argument: infer P) => unknown ? P : never;
export type ResultOf<A, M extends keyof A> = A[M] extends (argument: never) => infer R ? Awaited<R> : never;

/** Answers the calls of the parent process; ends this process when the parent is gone. */
export function serveCalls(api: object): void {
  process.on('message', (message) => {
    const call = message as Call;
    void answer(api, call).then((reply) => process.send?.(reply));
  });
  process.on('disconnect', () => process.exit(0));
}

async function answer(api: object, { id, method, argument }: Call): Promise<Reply> {
  try {
    const procedure: unknown = Reflect.get(api, method);
    if (typeof procedure !== 'function') throw new Error(`there is no ${method} here`);
    return { id, result: (await procedure.call(api, argument)) as unknown };
  } catch (cause) {
    return { id, error: cause instanceof Error ? (cause.stack ?? cause.message) : String(cause) };
  }
}

/** Keeps the calls that wait for their reply. */
export class CallBook {
  private nextId = 1;
  private readonly waiting = new Map<number, (reply: Reply) => void>();

  create(method: string, argument: unknown): { call: Call; reply: Promise<unknown> } {
    const id = this.nextId++;
    const reply = new Promise<unknown>((resolve, reject) => {
      this.waiting.set(id, ({ result, error }) => {
        if (error === undefined) resolve(result);
        else reject(new Error(error));
      });
    });
    return { call: { id, method, argument }, reply };
  }

  settle(message: unknown): void {
    const reply = message as Reply;
    this.waiting.get(reply.id)?.(reply);
    this.waiting.delete(reply.id);
  }

  failAll(error: string): void {
    for (const [id, settle] of this.waiting) settle({ id, error });
    this.waiting.clear();
  }
}
