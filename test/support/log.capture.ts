import { inspect } from 'node:util';
import { Logger, type LoggerService } from '@nestjs/common';

type Level = 'log' | 'warn' | 'error' | 'debug' | 'verbose' | 'fatal';

export interface LogLine {
  readonly level: Level;
  readonly message: string;
  /** The class that wrote it. */
  readonly context: string;
  /** Everything that the logger was given. */
  readonly text: string;
}

/** Takes everything that Nest's loggers are given, in the place of the console. */
export class LogCapture implements LoggerService {
  readonly lines: LogLine[] = [];

  /** Has to be ended with {@link stop}. */
  static start(): LogCapture {
    const capture = new LogCapture();
    Logger.overrideLogger(capture);
    return capture;
  }

  stop(): void {
    Logger.overrideLogger(false);
  }

  /** The messages of one context. */
  of(context: string): string[] {
    return this.lines.filter((line) => line.context === context).map(({ message }) => message);
  }

  /** The audit trail, read. */
  audit(): Record<string, unknown>[] {
    return this.of('Audit').map((line) => JSON.parse(line) as Record<string, unknown>);
  }

  get text(): string {
    return this.lines.map(({ text }) => text).join('\n');
  }

  log(...given: unknown[]): void {
    this.take('log', given);
  }

  warn(...given: unknown[]): void {
    this.take('warn', given);
  }

  error(...given: unknown[]): void {
    this.take('error', given);
  }

  debug(...given: unknown[]): void {
    this.take('debug', given);
  }

  verbose(...given: unknown[]): void {
    this.take('verbose', given);
  }

  fatal(...given: unknown[]): void {
    this.take('fatal', given);
  }

  private take(level: Level, given: readonly unknown[]): void {
    const text = given.map((each) => (typeof each === 'string' ? each : inspect(each, { depth: 10 }))).join(' ');
    this.lines.push({ level, message: String(given[0]), context: String(given.at(-1)), text });
  }
}
