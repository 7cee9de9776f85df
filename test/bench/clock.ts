/** Microseconds on the system's monotonic clock: the same in every process of the machine. */
export function nowMicros(): number {
  const [seconds, nanoseconds] = process.hrtime();
  return seconds * 1_000_000 + Math.floor(nanoseconds / 1000);
}

/** CPU time of this process so far, user and system, all threads. */
export function cpuMicros(): number {
  const { user, system } = process.cpuUsage();
  return user + system;
}

export function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => {
    setTimeout(resolve, ms);
  });
}

/** Frees what can be freed, so that a measurement begins clean. */
export function collectGarbage(): void {
  for (let i = 0; i < 3; i++) globalThis.gc?.();
}

export const MEGABYTE = 1024 * 1024;
