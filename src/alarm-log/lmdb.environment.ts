import { randomBytes } from 'node:crypto';
import { mkdir, realpath, stat, statfs } from 'node:fs/promises';
import { resolve } from 'node:path';
import { open as openLmdb, type Database, type Key, type RootDatabase } from 'lmdb';
import { codeOf, reasonOf } from '../push.causes.js';
import { AlarmNotAcceptedError, PushConfigurationError } from '../push.errors.js';
import { ExclusiveLock } from './exclusive.lock.js';
import { checkRoom, setDamagedAside } from './lmdb.files.js';

export type LmdbEncoding = 'binary' | 'json' | 'msgpack' | 'ordered-binary' | 'string';

/** How long the works of one transaction may hold the event loop, in ms; the rest take the next. */
const TRANSACTION_BUDGET_MS = 8;
const EPOCH = /^[A-Za-z0-9_-]{1,32}$/;
const CLOSED = 'the alarm log is closed';
/** With less room than this on the disk, a write that failed is taken to have failed for that. */
const FULL_BYTES = 1024 * 1024;
/** Errors of LMDB that say little by themselves. */
const REASONS: ReadonlyMap<string | number, string> = new Map([
  [-30792, 'the map of its file cannot grow'],
  [-30788, 'too much was written at once'],
]);

interface QueuedWork {
  /** Runs inside the transaction, and throws only where LMDB could not write. */
  readonly run: () => void;
  readonly committed: () => void;
  readonly failed: (error: AlarmNotAcceptedError) => void;
}

/** Why a commit did not happen, or may not have. */
interface Failure {
  readonly outcome: 'rejected' | 'unknown';
  readonly why: string;
}

const TAKEN_OVER: Failure = { outcome: 'rejected', why: 'another process took the alarm log over' };

/** What shares one transaction. */
interface Group {
  readonly works: QueuedWork[];
  /** Why a work of it could not write; the transaction must not count as done. */
  broken: unknown;
  isFenced: boolean;
}

/**
 * One folder with an LMDB database, held by this process alone, and the queue of what is written to it.
 *
 * What is written while a commit runs shares the next transaction: one sync of the disk for all of it.
 */
export class LmdbEnvironment {
  private queue: QueuedWork[] = [];
  private pumping: Promise<void> | undefined;
  private closing: Promise<void> | undefined;
  private lastFault: string | undefined;

  private constructor(
    private readonly root: RootDatabase,
    private readonly about: Database<string, string>,
    private readonly folder: string,
    private readonly lock: ExclusiveLock,
    private readonly owner: string,
    /** Names one life of the log; an environment that began anew has a new one. */
    readonly epoch: string,
    /** Where a damaged file was moved, so that this one could begin anew; say it loudly. */
    readonly setAside: string | undefined,
  ) {}

  /**
   * Opens the folder, and creates it where there is none. Throws {@link PushConfigurationError} where another process
   * has it or it cannot be used.
   */
  static async open(path: string): Promise<LmdbEnvironment> {
    const folder = await folderAt(path);
    let lock: ExclusiveLock | undefined;
    try {
      lock = await ExclusiveLock.take(folder);
      await checkRoom(folder);
      return await LmdbEnvironment.openLocked(folder, lock);
    } catch (cause) {
      await lock?.release();
      if (cause instanceof PushConfigurationError) throw cause;
      throw new PushConfigurationError([
        `the alarm log in ${folder} cannot be opened (${reasonOf(cause)}): check the folder's permissions and its disk, or give another alarmLogPath`,
      ]);
    }
  }

  private static async openLocked(folder: string, lock: ExclusiveLock): Promise<LmdbEnvironment> {
    const setAside = await setDamagedAside(folder);
    // Without eventTurnBatching and overlappingSync a failed commit rejects its own promise and nothing else.
    const root = openLmdb({ path: folder, noSubdir: false, overlappingSync: false, eventTurnBatching: false });
    try {
      const about = root.openDB<string, string>('about', { encoding: 'string' });
      const owner = randomBytes(12).toString('base64url');
      const epoch = await begin(about, owner);
      return new LmdbEnvironment(root, about, folder, lock, owner, epoch, setAside);
    } catch (cause) {
      await root.close();
      throw cause;
    }
  }

  /** Why the last commit failed; undefined after one succeeded. */
  get fault(): string | undefined {
    return this.lastFault;
  }

  /** A part of the environment with keys of its own; made when it is asked for first. */
  database<V, K extends Key = Key>(name: string, encoding: LmdbEncoding): Database<V, K> {
    return this.root.openDB<V, K>(name, { encoding });
  }

  /**
   * Runs the work inside a transaction, shared with what others have queued, and resolves with what it returned once
   * that is on disk. A work that throws rejects its caller alone, so it must throw before it writes.
   */
  commit<T>(work: () => T): Promise<T> {
    if (this.closing !== undefined) return Promise.reject(new AlarmNotAcceptedError('rejected', CLOSED));
    return new Promise((resolve_, reject) => {
      let outcome: () => void = () => reject(new AlarmNotAcceptedError('rejected', 'it was not tried'));
      this.queue.push({
        run: () => {
          try {
            const value = work();
            outcome = () => resolve_(value);
          } catch (cause) {
            // LMDB's own errors have a number; after one, part of the work may have been written.
            if (typeof codeOf(cause) === 'number') throw cause;
            outcome = () => reject(cause);
          }
        },
        committed: () => outcome(),
        failed: reject,
      });
      this.pumping ??= this.pump();
    });
  }

  /** Waits for what was queued, then lets go of the folder. */
  close(): Promise<void> {
    this.closing ??= this.shutDown();
    return this.closing;
  }

  private async shutDown(): Promise<void> {
    await this.pumping;
    await this.root.close();
    await this.lock.release();
  }

  private async pump(): Promise<void> {
    while (this.queue.length > 0) await this.commitQueued();
    this.pumping = undefined;
  }

  private async commitQueued(): Promise<void> {
    const group: Group = { works: [], broken: undefined, isFenced: false };
    try {
      await this.root.transaction(() => this.runQueued(group));
      await this.root.flushed;
    } catch (cause) {
      this.fail(group, await this.failureAfter(group.broken ?? (await causeOf(cause))));
      return;
    }
    if (group.isFenced) {
      this.fail(group, TAKEN_OVER);
      return;
    }
    if (group.broken !== undefined) {
      // LMDB refuses to commit after a write that failed; should it not, nobody is told that it went well.
      this.fail(group, { outcome: 'unknown', why: await this.reasonOfFailure(group.broken) });
      return;
    }
    this.lastFault = undefined;
    for (const work of group.works) work.committed();
  }

  private fail({ works }: Group, { outcome, why }: Failure): void {
    this.lastFault = why;
    const error = new AlarmNotAcceptedError(outcome, why);
    // Where not even the transaction began, all that wait are told, instead of trying for each.
    for (const work of works.length > 0 ? works : this.queue.splice(0)) work.failed(error);
  }

  /** Runs inside the transaction: takes what is queued, also what came since the transaction was asked for. */
  private runQueued(group: Group): void {
    if (this.about.get('owner') !== this.owner) {
      group.isFenced = true;
      return;
    }
    const untilMs = performance.now() + TRANSACTION_BUDGET_MS;
    do {
      const work = this.queue.shift();
      if (work === undefined) return;
      group.works.push(work);
      try {
        work.run();
      } catch (cause) {
        group.broken = cause;
        return;
      }
    } while (performance.now() < untilMs);
  }

  private async failureAfter(cause: unknown): Promise<Failure> {
    const why = await this.reasonOfFailure(cause);
    // LMDB writes the page that makes a commit valid last. Only where that failed it takes no further transaction, and
    // nobody knows what the disk has.
    if (this.takesTransactions()) return { outcome: 'rejected', why };
    return { outcome: 'unknown', why: `${why}; nothing more is taken until this process is restarted` };
  }

  private async reasonOfFailure(cause: unknown): Promise<string> {
    // LMDB calls a full disk an input/output error where a part of the write had room.
    if (await isFull(this.folder)) return 'the disk of the alarm log is full: free some space';
    return `the alarm log could not be written: ${REASONS.get(codeOf(cause) ?? '') ?? reasonOf(cause)}`;
  }

  private takesTransactions(): boolean {
    try {
      this.root.transactionSync(() => undefined);
      return true;
    } catch {
      // The reason is that of the commit before it.
      return false;
    }
  }
}

async function folderAt(path: string): Promise<string> {
  const folder = resolve(path);
  try {
    await mkdir(folder, { recursive: true });
    if (!(await stat(folder)).isDirectory()) throw new Error('it is not a folder');
    return await realpath(folder);
  } catch (cause) {
    throw new PushConfigurationError([
      `the folder ${folder} of the alarm log cannot be made or read (${reasonOf(cause)}): give it an alarmLogPath that this user may write to`,
    ]);
  }
}

/** Makes this the owner, which fences one before it that still writes, and returns the epoch. */
async function begin(about: Database<string, string>, owner: string): Promise<string> {
  try {
    return await about.transaction(() => {
      const stored = about.get('epoch') ?? '';
      const epoch = EPOCH.test(stored) ? stored : randomBytes(9).toString('base64url');
      about.putSync('epoch', epoch);
      about.putSync('owner', owner);
      return epoch;
    });
  } catch (cause) {
    throw await causeOf(cause);
  }
}

async function isFull(folder: string): Promise<boolean> {
  try {
    const { bavail, bsize } = await statfs(folder);
    return bavail * bsize < FULL_BYTES;
  } catch {
    // A disk that does not even tell its size has failed for another reason.
    return false;
  }
}

/** What made a commit fail. lmdb rejects with an error that has the real one as a promise, which must not go unheard. */
async function causeOf(failure: unknown): Promise<unknown> {
  if (typeof failure !== 'object' || failure === null || !('commitError' in failure)) return failure;
  return Promise.resolve(failure.commitError).then(
    () => failure,
    (cause: unknown) => cause,
  );
}
