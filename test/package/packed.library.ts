import { cp, mkdtemp, readdir, readFile, rm, symlink } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { run } from './command.js';

export const PROJECT = fileURLToPath(new URL('../../', import.meta.url));

/** What a checkout has and git has not, and what only tests need. */
const LEFT_OUT = new Set(['node_modules', '.git', 'dist', 'data', 'coverage', 'test']);

export interface EntryTargets {
  readonly types: string;
  readonly default: string;
}

export interface Manifest {
  readonly name: string;
  readonly version: string;
  readonly dependencies: Readonly<Record<string, string>>;
  readonly peerDependencies: Readonly<Record<string, string>>;
  readonly peerDependenciesMeta: Readonly<Record<string, { readonly optional?: boolean }>>;
  readonly exports: Readonly<Record<string, string | EntryTargets>>;
  readonly typesVersions: { readonly '*': Readonly<Record<string, readonly string[]>> };
}

const folders: string[] = [];

/** The library as it would be published: built and packed in a copy of this checkout. */
export class PackedLibrary {
  private constructor(
    private readonly folder: string,
    readonly tarball: string,
    /** What the tarball holds, sorted. */
    readonly files: readonly string[],
    readonly manifest: Manifest,
  ) {}

  static async pack(): Promise<PackedLibrary> {
    const folder = await mkdtemp(join(tmpdir(), 'push-package-'));
    folders.push(folder);
    const names = (await readdir(PROJECT)).filter((name) => !LEFT_OUT.has(name) && !name.endsWith('.tgz'));
    await Promise.all(names.map((name) => cp(join(PROJECT, name), join(folder, name), { recursive: true })));
    await symlink(join(PROJECT, 'node_modules'), join(folder, 'node_modules'));
    await run('npm', ['run', 'build'], { in: folder });
    const answer = await run('npm', ['pack', '--ignore-scripts', '--json'], { in: folder });
    const [{ filename, files }] = JSON.parse(answer) as [{ filename: string; files: { path: string }[] }];
    const manifest = JSON.parse(await readFile(join(folder, 'package.json'), 'utf8')) as Manifest;
    return new PackedLibrary(folder, join(folder, filename), files.map(({ path }) => path).toSorted(), manifest);
  }

  /** Packages that every application has that installed this one as npm does. */
  get required(): string[] {
    const { dependencies, peerDependencies, peerDependenciesMeta } = this.manifest;
    const peers = Object.keys(peerDependencies).filter((name) => peerDependenciesMeta[name]?.optional !== true);
    return [...Object.keys(dependencies), ...peers];
  }

  /** A file of the tarball, as text. */
  textOf(file: string): Promise<string> {
    return readFile(join(this.folder, file), 'utf8');
  }

  /** Also where it could not be built. */
  static async removeAll(): Promise<void> {
    await Promise.all(folders.map((folder) => rm(folder, { recursive: true, force: true })));
  }
}
