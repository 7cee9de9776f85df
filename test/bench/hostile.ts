import { join } from 'node:path';
import { Child } from './child.js';
import type { HostileApi } from './load/hostile.api.js';
import type { ServerApi } from './servers/server.api.js';
import type { Settings } from './settings.js';

/** A process of clients that ask more of a server than a client should. */
export function hostileLoad(): Child<HostileApi> {
  return new Child<HostileApi>(new URL('./load/hostile.process.js', import.meta.url), 'hostile load');
}

/** Records a CPU profile of the server, where one is wanted, until the returned function is called. */
export async function profile(
  server: Child<ServerApi>,
  { profileDirectory }: Settings,
  name: string,
): Promise<() => Promise<void>> {
  if (profileDirectory === undefined) return async () => {};
  await server.call('startProfile', undefined);
  return () => server.call('stopProfile', join(profileDirectory, `${name}.cpuprofile`));
}
