import { execFile } from 'node:child_process';

const MAX_OUTPUT_BYTES = 16 * 1024 * 1024;

export interface CommandOptions {
  /** Working directory. */
  readonly in: string;
  readonly environment?: Readonly<Record<string, string>>;
  /** Default 120,000. */
  readonly deadlineMs?: number;
}

/** What the command prints; rejects with all of its output where it fails. */
export function run(command: string, parameters: readonly string[], options: CommandOptions): Promise<string> {
  const { PATH = '', HOME = '' } = process.env;
  const settings = {
    cwd: options.in,
    env: { PATH, HOME, NO_COLOR: '1', ...options.environment },
    timeout: options.deadlineMs ?? 120_000,
    maxBuffer: MAX_OUTPUT_BYTES,
  };
  return new Promise((resolve, reject) => {
    execFile(command, parameters, settings, (error, stdout, stderr) => {
      if (error === null) resolve(stdout);
      else reject(new Error(`${command} ${parameters.join(' ')} failed: ${error.message}\n${stdout}\n${stderr}`));
    });
  });
}
