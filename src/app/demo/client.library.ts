import { readdirSync, readFileSync } from 'node:fs';
import { Injectable } from '@nestjs/common';

/** Folders that import each other by these names. */
const FOLDERS = ['sdk', 'protocol'];
const ENTRY = 'sdk/index.js';

/** The client library as pages load it: the built modules by their path, `sdk/index.js` being the first. */
@Injectable()
export class ClientLibrary {
  readonly modules: ReadonlyMap<string, string> = new Map(FOLDERS.flatMap(modulesIn));

  constructor() {
    if (!this.modules.has(ENTRY)) throw new Error('the client library is not built: npm run build');
  }
}

function modulesIn(folder: string): [string, string][] {
  const directory = new URL(`../../${folder}/`, import.meta.url);
  const names = readdirSync(directory).filter((name) => name.endsWith('.js'));
  return names.map((name) => [`${folder}/${name}`, readFileSync(new URL(name, directory), 'utf8')]);
}
