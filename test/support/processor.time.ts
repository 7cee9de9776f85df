/** How long the processor was busy with it, however long it took on a machine that does other things too. */
export function processorMsOf(action: () => void): number {
  const before = process.cpuUsage();
  action();
  const { user, system } = process.cpuUsage(before);
  return (user + system) / 1000;
}
