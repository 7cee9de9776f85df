import { mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { Child } from '../support/child.js';
import { run } from './command.js';
import { type PackedLibrary, PROJECT } from './packed.library.js';

const START_DEADLINE_MS = 60_000;

type CompilerOptions = Readonly<Record<string, unknown>>;

/** As `nest new` has them, and with the declarations of all packages checked. */
const COMPILER_OPTIONS: CompilerOptions = {
  target: 'es2023',
  strict: true,
  experimentalDecorators: true,
  emitDecoratorMetadata: true,
  esModuleInterop: true,
  skipLibCheck: false,
  rootDir: 'src',
  outDir: 'dist',
  types: ['node'],
};

/** The ways in which applications are compiled. */
export const MODULES = {
  esm: { module: 'nodenext' },
  commonJs: { module: 'commonjs', moduleResolution: 'node10', ignoreDeprecations: '6.0' },
  /** For an application without `"type": "module"`, which then requires ES modules. */
  nodenext: { module: 'nodenext' },
} as const satisfies Record<string, CompilerOptions>;

/** An application in a folder of its own, with the library in its node_modules. */
export class FreshApplication {
  private static readonly made = new Set<FreshApplication>();

  private constructor(readonly folder: string) {
    FreshApplication.made.add(this);
  }

  static async create(
    type: 'module' | 'commonjs',
    sources: Readonly<Record<string, string>>,
  ): Promise<FreshApplication> {
    const application = new FreshApplication(await mkdtemp(join(tmpdir(), 'push-application-')));
    await application.write({ ...sources, 'package.json': JSON.stringify({ name: 'fresh', private: true, type }) });
    return application;
  }

  async write(files: Readonly<Record<string, string>>): Promise<void> {
    for (const [path, text] of Object.entries(files)) {
      const file = join(this.folder, path);
      await mkdir(dirname(file), { recursive: true });
      await writeFile(file, text);
    }
  }

  /**
   * Unpacks the tarball, and links what npm would install beside it from this checkout: what it names as dependency or as
   * peer, but no optional peer, and the packages of the application.
   */
  async installFromCheckout(library: PackedLibrary, packages: readonly string[]): Promise<void> {
    const place = join(this.folder, 'node_modules', library.manifest.name);
    await mkdir(place, { recursive: true });
    await run('tar', ['-xzf', library.tarball, '--strip-components=1', '-C', place], { in: this.folder });
    for (const name of new Set([...library.required, ...packages])) {
      const link = join(this.folder, 'node_modules', name);
      await mkdir(dirname(link), { recursive: true });
      await symlink(join(PROJECT, 'node_modules', name), link);
    }
  }

  async uninstall(name: string): Promise<void> {
    await rm(join(this.folder, 'node_modules', name), { recursive: true });
  }

  async installFromRegistry(packages: readonly string[]): Promise<void> {
    await run('npm', ['install', '--no-audit', '--no-fund', '--ignore-scripts', ...packages], { in: this.folder });
  }

  /** Rejects with the complaints of the compiler. */
  async compile(modules: CompilerOptions): Promise<this> {
    const compilerOptions = { ...COMPILER_OPTIONS, ...modules };
    await this.write({ 'tsconfig.json': JSON.stringify({ compilerOptions, include: ['src'] }) });
    await run(process.execPath, [join(PROJECT, 'node_modules/typescript/bin/tsc'), '-p', '.'], { in: this.folder });
    return this;
  }

  /** As {@link compile}, of the application's own sources, for nothing but the complaints. */
  check(modules: CompilerOptions): Promise<this> {
    return this.compile({ ...modules, noEmit: true, skipLibCheck: true });
  }

  /** What a program of it prints. */
  async output(program: string, parameters: readonly string[] = []): Promise<string> {
    return run(process.execPath, [program, ...parameters], { in: this.folder });
  }

  /** Where it listens, which it prints as its first line; ends with the test. */
  async start(program: string, parameters: readonly string[] = []): Promise<string> {
    const child = Child.run(process.execPath, [program, ...parameters], {}, this.folder);
    const [, url = ''] = await child.line(/^listening on (\S+)$/, START_DEADLINE_MS);
    return url;
  }

  /** As {@link start}, of one that says nothing and listens where the environment tells it. */
  async startOn(port: number, program: string): Promise<string> {
    const child = Child.run(process.execPath, [program], { PORT: String(port) }, this.folder);
    await child.line(/Nest application successfully started/, START_DEADLINE_MS);
    return `http://127.0.0.1:${port}`;
  }

  /** Also those that could not be installed or compiled. */
  static async removeAll(): Promise<void> {
    const folders = [...FreshApplication.made].map(({ folder }) => folder);
    FreshApplication.made.clear();
    await Promise.all(folders.map((folder) => rm(folder, { recursive: true, force: true })));
  }
}
