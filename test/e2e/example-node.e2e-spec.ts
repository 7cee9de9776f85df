import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, expect, jest, test } from '@jest/globals';
import { hostBusinessId } from '../../src/app/demo/host.telemetry.js';
import { CompiledApp } from '../support/compiled.app.js';
import { within } from '../support/deadline.js';
import { DemoNode } from '../support/demo.node.js';
import { LoggedProcess } from '../support/logged.process.js';

jest.setTimeout(90_000);

let app: CompiledApp;
let node: DemoNode;

beforeAll(async () => {
  app = await CompiledApp.compile();
});
afterAll(() => app.remove());
beforeEach(async () => {
  node = await DemoNode.start(app);
});

const FILE = 'alarms.ndjson';

function follow(): LoggedProcess {
  return LoggedProcess.node(join(app.folder, 'examples/node/follow.js'), app.folder, {}, [node.base, FILE]);
}

const alarm = (n: number) => node.pushAlarm({ businessId: 'm-7', severity: 700, message: `number ${n}`, n });
/** Others are of the node's own demo. */
const NUMBERED = /^alarm \S+ 700 number \d$/;
const numbered = (n: number) => new RegExp(NUMBERED.source.replace(String.raw`\d`, String(n)));

async function kept(): Promise<number[]> {
  const lines = (await readFile(join(app.folder, FILE), 'utf8')).trimEnd().split('\n');
  return lines.flatMap((line) => (JSON.parse(line) as { n?: number }).n ?? []);
}

test('examples/node shows raw data and keeps every alarm, over its own restarts and those of the node', async () => {
  await alarm(0);
  let program = follow();
  await program.logged(numbered(0));
  await program.logged(new RegExp(`^${hostBusinessId()} cpu.total \\d`));
  await node.pushRawData({ businessType: 'meter', businessId: 'm-7', series: 'kw', value: 21.5 });
  await program.logged(/^m-7 kw 21.5$/);

  program.kill('SIGTERM');
  expect(await within(program.exited, 'it ends')).toBe(0);
  await alarm(1);
  program = follow();
  await program.logged(numbered(1));
  expect(program.having(NUMBERED)).toHaveLength(1);
  // The last value, which it missed.
  await program.logged(/^m-7 kw 21.5$/);

  await node.end();
  await node.startAgain();
  await program.logged(/^alarms: open/, 2);
  await program.logged(/^raw data: open/, 2);
  await alarm(2);
  await program.logged(numbered(2));
  expect(await kept()).toEqual([0, 1, 2]);

  await node.end('SIGKILL');
  await node.forgetAlarms();
  await node.startAgain();
  await alarm(3);
  await program.logged(numbered(3));
  expect(program.having(/^alarms after \S+ may be missing$/)).toHaveLength(1);
  expect(await kept()).toEqual([0, 1, 2, 3]);
});
