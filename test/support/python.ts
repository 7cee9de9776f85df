import { fileURLToPath } from 'node:url';
import { Child } from './child.js';

/** Debian's, which sees Debian's python3-websockets. */
export const PYTHON = '/usr/bin/python3';

/** One connection of a Python client. */
export class PythonClient {
  private constructor(private readonly child: Child) {}

  static connect(url: string, subprotocols: readonly string[] = []): PythonClient {
    const program = fileURLToPath(new URL('./websockets_client.py', import.meta.url));
    return new PythonClient(Child.run(PYTHON, [program, url, ...subprotocols]));
  }

  /** The next thing that happened to it: `open`, `message`, `close` or `refused`. */
  async next(): Promise<Record<string, unknown>> {
    const [line] = await this.child.line(/^\{.*\}$/);
    return JSON.parse(line) as Record<string, unknown>;
  }

  get exited(): Child['exited'] {
    return this.child.exited;
  }
}
