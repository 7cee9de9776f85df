import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { cpSync, mkdtempSync, rmSync } from 'node:fs';
import { createConnection } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { untilAsync, within } from './deadline.js';
import { freePort } from './free.port.js';

/** Another one by `REDIS_SERVER`, as test/support/programs.setup.js looks for it. */
const PROGRAM = process.env['REDIS_SERVER'] ?? 'redis-server';

const running = new Set<RedisServer>();

export interface RedisServerOptions {
  /** Lines of redis.conf as `appendfsync: 'always'`; those of several words as a list. */
  readonly settings?: Readonly<Record<string, string | readonly string[]>>;
}

/** A real Redis on a free port, with its files in a temporary folder and an append-only file. Whoever starts it ends it, or all by {@link RedisServer.killAll}. */
export class RedisServer {
  private process: ChildProcess | undefined;

  private constructor(
    readonly port: number,
    private readonly folder: string,
    private readonly settings: NonNullable<RedisServerOptions['settings']>,
  ) {}

  static async start({ settings = {} }: RedisServerOptions = {}): Promise<RedisServer> {
    const server = new RedisServer(await freePort(), mkdtempSync(join(tmpdir(), 'push-redis-')), {
      appendonly: 'yes',
      appendfsync: 'everysec',
      save: '',
      bind: '127.0.0.1',
      'enable-debug-command': 'local',
      'repl-diskless-sync-delay': '0',
      ...settings,
    });
    running.add(server);
    await server.restart();
    return server;
  }

  static killAll(): void {
    for (const server of running) server.remove();
  }

  get url(): string {
    return `redis://127.0.0.1:${this.port}`;
  }

  /** Starts it again with the files that it left; resolves when it answers. */
  async restart(): Promise<void> {
    const settings = Object.entries(this.settings).flatMap(([name, value]) => [`--${name}`, value].flat());
    const started = spawn(PROGRAM, ['--port', String(this.port), '--dir', this.folder, ...settings], {
      stdio: ['ignore', 'ignore', 'inherit'],
    });
    this.process = started;
    await within(this.answers(), 'Redis answers', 15_000);
  }

  /** kill -9; resolves when the process is gone. */
  async kill(): Promise<void> {
    const { process } = this;
    this.process = undefined;
    if (process === undefined || process.exitCode !== null || process.signalCode !== null) return;
    const ended = once(process, 'exit');
    process.kill('SIGKILL');
    await ended;
  }

  /** SIGSTOP and SIGCONT: alive, and silent. */
  signal(signal: 'SIGSTOP' | 'SIGCONT'): void {
    this.process?.kill(signal);
  }

  /** Removes what the append-only file holds; to be called while it is down. */
  forget(): void {
    rmSync(this.appendOnlyFolder, { recursive: true, force: true });
  }

  /** Keeps the append-only file as it is now, for {@link goBack}. */
  backUp(): void {
    cpSync(this.appendOnlyFolder, this.backupFolder, { recursive: true });
  }

  /** Has the append-only file of the last {@link backUp} again; to be called while it is down. */
  goBack(): void {
    this.forget();
    cpSync(this.backupFolder, this.appendOnlyFolder, { recursive: true });
  }

  /** Sends one command, without any library; gives the raw reply of RESP 2, as far as one packet holds it. */
  async command(...words: readonly string[]): Promise<string> {
    const socket = createConnection(this.port, '127.0.0.1');
    socket.setEncoding('utf8');
    try {
      await within(once(socket, 'connect'), `connect to Redis`);
      const reply = once(socket, 'data');
      const parts = words.map((word) => `$${Buffer.byteLength(word)}\r\n${word}\r\n`);
      socket.write(`*${words.length}\r\n${parts.join('')}`);
      return String((await within(reply, `Redis answers ${words[0]}`))[0]);
    } finally {
      socket.destroy();
    }
  }

  /** Makes it a replica of another; resolves when it has all that the other had. */
  async replicate(primary: RedisServer): Promise<void> {
    await this.command('REPLICAOF', '127.0.0.1', String(primary.port));
    const isInStep = async () => (await this.command('INFO', 'replication')).includes('master_link_status:up');
    await untilAsync(isInStep, 'the replica is in step', 15_000);
  }

  /** Resolves when this replica has what its primary has now. */
  async catchUp(primary: RedisServer): Promise<void> {
    const offset = await primary.replicationOffset('master_repl_offset');
    const hasAll = async () => (await this.replicationOffset('slave_repl_offset')) >= offset;
    await untilAsync(hasAll, 'the replica has caught up');
  }

  /** Makes a replica a primary. */
  async promote(): Promise<void> {
    await this.command('REPLICAOF', 'NO', 'ONE');
  }

  /** A user of the name `node` and the password `secret`, with these rights on these keys and all channels; gives the reply. */
  async addUser(keys: string, rights: readonly string[]): Promise<string> {
    return this.command('ACL', 'SETUSER', 'node', 'reset', 'on', '>secret', `~${keys}`, '&*', ...rights);
  }

  /** Ends it and removes its files. */
  async stop(): Promise<void> {
    await this.kill();
    this.remove();
  }

  private async replicationOffset(name: string): Promise<number> {
    const [, offset] = new RegExp(`${name}:(\\d+)`).exec(await this.command('INFO', 'replication')) ?? [];
    return Number(offset);
  }

  private get appendOnlyFolder(): string {
    return join(this.folder, 'appendonlydir');
  }

  private get backupFolder(): string {
    return join(this.folder, 'backup');
  }

  private remove(): void {
    running.delete(this);
    this.process?.kill('SIGKILL');
    rmSync(this.folder, { recursive: true, force: true });
  }

  private async answers(): Promise<void> {
    for (;;) {
      const answer = await this.command('PING').catch(() => '');
      if (answer.startsWith('+PONG')) return;
      if (this.process?.exitCode !== null && this.process !== undefined) throw new Error(`${PROGRAM} ended at once`);
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }
}
