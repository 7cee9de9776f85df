import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { freePort } from './free.port.js';
import type { CompiledApp } from './compiled.app.js';
import { within } from './deadline.js';
import { LoggedProcess } from './logged.process.js';

const END_WITHIN_MS = 15_000;

/** `npm start` on a port of its own, where it comes again after it was ended. Ends with the test. */
export class DemoNode {
  private constructor(
    private readonly app: CompiledApp,
    readonly port: number,
    private process: LoggedProcess,
  ) {}

  static async start(app: CompiledApp): Promise<DemoNode> {
    const port = await freePort();
    return new DemoNode(app, port, await run(app, port));
  }

  get base(): string {
    return `http://127.0.0.1:${this.port}`;
  }

  /** In order, or as a process that dies. */
  async end(signal: 'SIGTERM' | 'SIGKILL' = 'SIGTERM'): Promise<void> {
    this.process.kill(signal);
    await within(this.process.exited, 'the node ends', END_WITHIN_MS);
  }

  async startAgain(): Promise<void> {
    this.process = await run(this.app, this.port);
  }

  /** Of a node that has ended: as if its disk were lost. */
  async forgetAlarms(): Promise<void> {
    await rm(join(this.app.folder, 'data'), { recursive: true, force: true });
  }

  pushRawData(datum: object): Promise<void> {
    return this.push('/push/raw-data', datum);
  }

  pushAlarm(alarm: object): Promise<void> {
    return this.push('/push/alarms', alarm);
  }

  private async push(path: string, body: object): Promise<void> {
    const answer = await fetch(this.base + path, {
      method: 'POST',
      headers: { 'Content-Type': 'application/json' },
      body: JSON.stringify(body),
    });
    if (!answer.ok) throw new Error(`${path} is answered ${answer.status}: ${await answer.text()}`);
  }
}

async function run(app: CompiledApp, port: number): Promise<LoggedProcess> {
  const process = LoggedProcess.node(app.main, app.folder, { PORT: String(port), PUSH_DRAIN_WINDOW_MS: '0' });
  await process.logged(/listening on http/);
  return process;
}
