import { cp, mkdir, mkdtemp, readdir, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type Options, transform } from '@swc/core';

const project = fileURLToPath(new URL('../../', import.meta.url));

/** As jest compiles them, so that all tests run the same code. */
async function compilerOptions(): Promise<Options> {
  const place = new URL('../../jest.config.js', import.meta.url).href;
  const { default: config } = (await import(place)) as { default: { transform: Record<string, [string, Options]> } };
  const options = config.transform['^.+\\.ts$']?.[1];
  if (options?.jsc === undefined) throw new Error('jest.config.js does not say how it compiles');
  return { jsc: options.jsc, module: { type: 'es6' }, swcrc: false };
}

/**
 * The sources as JavaScript in a temporary folder, which starts faster than what is compiled while it is loaded; beside them
 * the examples, which import the package by its name.
 */
export class CompiledApp {
  private constructor(readonly folder: string) {}

  static async compile(): Promise<CompiledApp> {
    const folder = await mkdtemp(join(tmpdir(), 'push-app-'));
    await cp(join(project, 'package.json'), join(folder, 'package.json'));
    await cp(join(project, 'examples'), join(folder, 'examples'), { recursive: true });
    await symlink(join(project, 'node_modules'), join(folder, 'node_modules'));
    const files = await readdir(join(project, 'src'), { recursive: true, withFileTypes: true });
    const paths = files.filter((file) => file.isFile()).map((file) => join(file.parentPath, file.name));
    const options = await compilerOptions();
    await Promise.all(paths.map((path) => compileInto(folder, path, options)));
    return new CompiledApp(folder);
  }

  /** The file that starts the node. */
  get main(): string {
    return join(this.folder, 'dist', 'main.js');
  }

  async remove(): Promise<void> {
    await rm(this.folder, { recursive: true });
  }
}

async function compileInto(folder: string, path: string, options: Options): Promise<void> {
  const target = join(folder, 'dist', path.slice(join(project, 'src').length));
  await mkdir(dirname(target), { recursive: true });
  if (!path.endsWith('.ts')) return cp(path, target);
  const source = await readFile(path, 'utf8');
  const { code } = await transform(source, { filename: path, ...options });
  await writeFile(target.replace(/\.ts$/, '.js'), code);
}
