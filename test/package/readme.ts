import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { PROJECT } from './packed.library.js';

/** A file that README.md shows how to change. */
export interface Change {
  readonly path: string;
  readonly before: string;
  readonly after: string;
  /** Lines that are new or different. */
  readonly added: readonly string[];
}

/** What README.md shows, by the path that stands in the first line of the block. */
export class Readme {
  private constructor(private readonly text: string) {}

  static async read(): Promise<Readme> {
    return new Readme(await readFile(join(PROJECT, 'README.md'), 'utf8'));
  }

  /** A file as it is shown whole. */
  file(path: string): string {
    const shown = this.blocks('(?:ts|js)').find(([first = '']) => first.includes(path));
    if (shown === undefined) throw new Error(`README.md does not show ${path}`);
    return shown.join('\n');
  }

  /** The files that are changed, each as a diff shows it. */
  get changes(): Change[] {
    return this.blocks('diff').map((lines) => {
      const [, path = ''] = /([\w./-]+\/[\w.-]+)/.exec(lines[0] ?? '') ?? [];
      const of = (...signs: string[]) =>
        lines.filter((line) => line === '' || signs.includes(line.charAt(0))).map((line) => line.slice(1));
      return {
        path,
        before: of(' ', '-').join('\n'),
        after: of(' ', '+').join('\n'),
        added: lines.filter((line) => line.startsWith('+')),
      };
    });
  }

  private blocks(language: string): string[][] {
    const found = this.text.matchAll(new RegExp(`^\`\`\`${language}\\n([^]*?)^\`\`\`$`, 'gm'));
    return [...found].map(([, block = '']) => block.trimEnd().split('\n'));
  }
}
