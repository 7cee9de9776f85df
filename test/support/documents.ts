import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

export const ROOT = fileURLToPath(new URL('../../', import.meta.url));

export const textOf = (path: string) => readFileSync(join(ROOT, path), 'utf8');

/** What begins with `#` in a block of code is no heading. */
export const withoutComments = (document: string) =>
  document.replaceAll(/^ *```.*?^ *```/gms, (block) => block.replaceAll(/^#/gm, ' #'));

/** What stands under a heading, up to the next one of its level or above. */
export function section(document: string, heading: string): string {
  const lines = withoutComments(document).split('\n');
  const start = lines.indexOf(heading);
  if (start < 0) throw new Error(`there is no heading ${heading}`);
  const level = heading.indexOf(' ');
  const isEnd = (line: string) => /^#+ /.test(line) && line.indexOf(' ') <= level;
  const length = lines.slice(start + 1).findIndex(isEnd);
  return lines.slice(start + 1, length < 0 ? undefined : start + 1 + length).join('\n');
}

function cellsOf(line: string): string[] {
  return line
    .split(/(?<!\\)\|/)
    .slice(1, -1)
    .map((cell) => cell.trim());
}

/** The rows of the table whose first columns have these titles, each a list of its cells. */
export function table(text: string, ...titles: string[]): string[][] {
  const lines = text.split('\n');
  const start = lines.findIndex((line) => titles.every((title, index) => cellsOf(line)[index] === title));
  if (start < 0) throw new Error(`there is no table of ${titles.join(', ')}`);
  const rows = lines.slice(start + 2);
  const length = rows.findIndex((line) => !line.startsWith('|'));
  return rows.slice(0, length < 0 ? undefined : length).map(cellsOf);
}

export const unquoted = (cell = '') => cell.replaceAll('`', '');
export const column = (rows: readonly string[][], index = 0) => rows.map((row) => unquoted(row[index]));

/** The blocks of code in this language. */
export const codeBlocks = (text: string, language: string) =>
  [...text.matchAll(new RegExp(`^( *)\`\`\`${language}\\n([^]*?)^\\1\`\`\`$`, 'gm'))].map(([, , block = '']) => block);
