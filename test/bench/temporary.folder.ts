import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const folders = new Set<string>();

/** A new folder on the disk of the system's temporary files. */
export function createTemporaryFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'push-gateway-bench-'));
  folders.add(folder);
  return folder;
}

/** Removes every folder that is left. */
export function removeTemporaryFolders(): void {
  for (const folder of folders) rmSync(folder, { recursive: true, force: true, maxRetries: 5 });
  folders.clear();
}
