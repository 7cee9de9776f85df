import { writeFileSync } from 'node:fs';
import { alarmAppend } from './cases/alarm-append.case.js';
import { alarmBurst } from './cases/alarm-burst.case.js';
import { alarmLagging } from './cases/alarm-lagging.case.js';
import { alarmOverload } from './cases/alarm-overload.case.js';
import { alarmReplay } from './cases/alarm-replay.case.js';
import { b1 } from './cases/b1.case.js';
import { b20 } from './cases/b20.case.js';
import type { BenchCase } from './cases/bench.case.js';
import { blocked } from './cases/blocked.case.js';
import { burst } from './cases/burst.case.js';
import { cluster } from './cases/cluster.case.js';
import { compression } from './cases/compression.case.js';
import { idle } from './cases/idle.case.js';
import { metrics } from './cases/metrics.case.js';
import { mixed } from './cases/mixed.case.js';
import { overload } from './cases/overload.case.js';
import { pingFlood } from './cases/ping-flood.case.js';
import { routing } from './cases/routing.case.js';
import { slowUpgrades } from './cases/slow-upgrades.case.js';
import { stopped } from './cases/stopped.case.js';
import { flushWindow } from './cases/window.case.js';
import { workers } from './cases/workers.case.js';
import { killChildren } from './child.js';
import { describeMachine, MachineShare } from './machine.js';
import { type CaseReport, verdictOf } from './report.js';
import { readSettings, type Settings, USAGE } from './settings.js';
import { formatReport } from './table.js';
import { removeTemporaryFolders } from './temporary.folder.js';
import { killWorkerNodes } from './worker.node.js';
import { RedisServer } from '../support/redis.process.js';

const alarmCases: readonly BenchCase[] = [alarmAppend, alarmReplay, alarmBurst, alarmOverload, alarmLagging];

const hostileCases: readonly BenchCase[] = [slowUpgrades, pingFlood, burst];

const nodesCases: readonly BenchCase[] = [cluster, workers];

const allCases: readonly BenchCase[] = [
  routing,
  b1,
  b20,
  flushWindow,
  mixed,
  overload,
  stopped,
  blocked,
  idle,
  compression,
  metrics,
  ...alarmCases,
  ...hostileCases,
  ...nodesCases,
];

/** Names that stand for several cases. */
const groups: ReadonlyMap<string, readonly string[]> = new Map([
  ['alarms', alarmCases.map(({ name }) => name)],
  ['hostile', hostileCases.map(({ name }) => name)],
  ['nodes', nodesCases.map(({ name }) => name)],
]);

interface Outcome extends Partial<CaseReport> {
  readonly name: string;
  readonly title: string;
  readonly seconds: number;
  /** Share of the machine's CPU time that went to processes that are none of the benchmark's. */
  readonly othersShare?: number | undefined;
  /** Why the case has no result. */
  readonly failure?: string;
}

async function runCase({ name, title, run }: BenchCase, settings: Settings): Promise<Outcome> {
  const begunMs = performance.now();
  const seconds = () => Math.round((performance.now() - begunMs) / 1000);
  const share = new MachineShare();
  print(`\n${name}  ${title}\n`);
  try {
    const report = await run(settings);
    const othersShare = await share.ofOthers();
    print(`${formatReport(report)}${seconds()} s${describeOthers(othersShare)}\n`);
    return { name, title, seconds: seconds(), othersShare, ...report };
  } catch (cause) {
    const failure = cause instanceof Error ? (cause.stack ?? cause.message) : String(cause);
    print(`failed: ${failure}\n`);
    return { name, title, seconds: seconds(), failure };
  } finally {
    cleanUp();
  }
}

function cleanUp(): void {
  killChildren();
  killWorkerNodes();
  RedisServer.killAll();
  removeTemporaryFolders();
}

function describeOthers(share: number | undefined): string {
  return share === undefined ? '' : `; other processes used ${Math.round(share * 100)} % of the machine`;
}

function writeJson(outcomes: readonly Outcome[], settings: Settings): void {
  const cases = outcomes.map(({ bars, ...outcome }) => ({
    ...outcome,
    bars: bars?.map((bar) => ({ ...bar, verdict: verdictOf(bar) })),
  }));
  const results = { date: new Date().toISOString(), machine: describeMachine(), isQuick: settings.isQuick, cases };
  writeFileSync(settings.jsonPath, `${JSON.stringify(results, undefined, 2)}\n`);
  print(`\nresults: ${settings.jsonPath}\n`);
}

function print(text: string): void {
  process.stdout.write(text);
}

async function main(): Promise<number> {
  const settings = readSettings(process.argv.slice(2));
  const names = settings.cases.flatMap((name) => groups.get(name) ?? [name]);
  const unknown = names.filter((name) => allCases.every((benchCase) => benchCase.name !== name));
  if (unknown.length > 0) {
    const known = [...allCases.map(({ name }) => name), ...groups.keys()];
    print(`no such case: ${unknown.join(', ')}\n${USAGE}\ncases: ${known.join(', ')}\n`);
    return 2;
  }
  const { cpu, cores, memoryMegabytes, kernel, node } = describeMachine();
  print(`${cpu}, ${cores} cores, ${memoryMegabytes} MB, ${kernel}, Node ${node}, ${new Date().toISOString()}\n`);
  if (settings.isQuick) print('quick: shows that it runs, the numbers say little\n');
  if (settings.profileDirectory !== undefined) print('with profiles: the CPU times are too high\n');
  const chosen = allCases.filter(({ name }) => names.length === 0 || names.includes(name));
  const outcomes: Outcome[] = [];
  for (const benchCase of chosen) outcomes.push(await runCase(benchCase, settings));
  writeJson(outcomes, settings);
  return outcomes.some(({ failure }) => failure !== undefined) ? 1 : 0;
}

process.on('exit', cleanUp);
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => process.exit(130));
process.exitCode = await main();
