import { afterEach, beforeEach, expect, jest, test } from '@jest/globals';
import { ALARM_LOG, type AlarmLog } from '../../src/alarm-log/alarm-log.js';
import { CLUSTER, type Cluster } from '../../src/bus/cluster.js';
import { NodeState } from '../../src/gateway/node-state.js';
import { AlarmNotAcceptedError, ClusterUnavailableError } from '../../src/push.errors.js';
import { type Sending, startNode, type TestNode } from '../app/node.fixture.js';
import { faultsOf, objectIn } from '../support/json-schema.js';
import { operations, WITH_ALL } from '../support/openapi.js';
import { PushClient } from '../support/push.client.js';
import { secondsFromNow, signToken, TEST_SECRET } from '../support/tokens.js';

const DATUM = { businessType: 'meter', businessId: 'm-7', series: 'kw', value: 21.5 };
const ALARM = { businessId: 'm-7', severity: 700 };
const ALARM_OF_70_000_BYTES = { ...ALARM, text: 'x'.repeat(70_000 - JSON.stringify({ ...ALARM, text: '' }).length) };
const RAW_DATA_PATH = '/ws/rowdata/meter/m-7/ann';
const KEY = 'a-key-of-the-test';
const AS_JSON = { 'Content-Type': 'application/json' };
const ELSEWHERE = { Host: 'rebound.example' };

type Asking = readonly [operationId: string, path: string, sending?: Sending];

const given: { readonly operationId: string; readonly status: number; readonly body: unknown }[] = [];
const clients: PushClient[] = [];

beforeEach(() => {
  given.length = 0;
});

afterEach(async () => {
  await Promise.all(clients.splice(0).map((client) => client.cut()));
  jest.restoreAllMocks();
});

async function connect(node: TestNode, path: string): Promise<void> {
  clients.push(await PushClient.connectPushV1(`ws://127.0.0.1:${node.port}${path}`));
}

/** What is wrong with an answer, compared with the document. */
async function faultsOfAnswer(node: TestNode, [operationId, path, sending = {}]: Asking): Promise<string[]> {
  const documented = operations.find((each) => each.operationId === operationId);
  if (documented === undefined) return [`there is no operation ${operationId}`];
  const { method, answers } = documented;
  const { status, headers, body } = await node.send(path, { method, ...sending });
  given.push({ operationId, status, body });
  const contentType = String(headers['content-type']).split(';', 1)[0] ?? '';
  const content = objectIn(objectIn(answers[status] ?? answers['default'])['content']);
  const { schema } = objectIn(content[contentType]);
  const faults = schema === undefined ? ['is not documented'] : faultsOf(schema, body);
  return faults.map((fault) => `${operationId}: ${status} ${contentType}: ${fault}`);
}

async function faultsOfAnswers(node: TestNode, askings: readonly Asking[]): Promise<string[]> {
  const faults: string[] = [];
  // One behind the other: they count against the same limits.
  for (const asking of askings) faults.push(...(await faultsOfAnswer(node, asking)));
  return faults;
}

async function ofThisMachine(): Promise<string[]> {
  const node = await startNode(WITH_ALL);
  await connect(node, RAW_DATA_PATH);
  await connect(node, '/ws/alarm');
  return faultsOfAnswers(node, [
    ['pushRawData', '/push/raw-data?to.userName=ann', { body: [DATUM] }],
    ['pushRawData', '/push/raw-data', { body: {} }],
    ['pushRawData', '/push/raw-data', { body: '{', headers: AS_JSON }],
    ['pushRawData', '/push/raw-data', { body: 'businessType=meter' }],
    ['pushRawData', '/push/raw-data', { body: { ...DATUM, text: 'x'.repeat(1024 * 1024) } }],
    ['pushRawData', '/push/raw-data', { body: DATUM, headers: ELSEWHERE }],
    ['pushAlarms', '/push/alarms', { body: [{ ...ALARM, eventId: 'e-1' }] }],
    ['pushAlarms', '/push/alarms', { body: { ...ALARM, severity: 1, eventId: 'e-1' } }],
    ['pushAlarms', '/push/alarms', { body: [ALARM, { businessId: '' }] }],
    ['pushAlarms', '/push/alarms', { body: 'hot' }],
    ['pushAlarms', '/push/alarms', { body: ALARM, headers: ELSEWHERE }],
    ['pushAlarms', '/push/alarms', { body: ALARM_OF_70_000_BYTES }],
    ['listClients', '/push/clients?limit=10'],
    ['listClients', '/push/clients?limit=0'],
    ['listClients', '/push/clients?scope=cluster'],
    ['listClients', '/push/clients?scope=all'],
    ['listClients', '/push/clients', { headers: ELSEWHERE }],
    ['issueTicket', '/push/tickets', { body: { path: '/ws/alarm' } }],
    ['issueTicket', '/push/tickets', { body: { path: '/elsewhere' } }],
    ['issueTicket', '/push/tickets', { body: {} }],
    ['issueTicket', '/push/tickets', { body: 'path=/ws/alarm' }],
    ['askRawDataGateway', RAW_DATA_PATH],
    ['askRawDataGateway', `${RAW_DATA_PATH}?snapshot=perhaps`],
    ['askAlarmGateway', '/ws/alarm'],
    ['askAlarmGateway', '/ws/alarm?minSeverity=0'],
    ['isLive', '/health/live'],
    ['isReady', '/health/ready'],
    ['metrics', '/metrics'],
    ['metrics', '/metrics', { headers: ELSEWHERE }],
    ['dashboard', '/'],
    ['dashboardFile', '/assets/dashboard.css'],
    ['dashboardFile', '/assets/favicon.svg'],
    ['dashboardFile', '/assets/none'],
    ['clientModule', '/client/sdk/index.js'],
    ['clientModule', '/client/sdk/none.js'],
    ['protocolModule', '/client/protocol/messages.js'],
    ['protocolModule', '/client/protocol/..%2Fsdk%2Findex.js'],
    ['demoHost', '/demo/host'],
  ]);
}

async function withPublishKey(): Promise<string[]> {
  return faultsOfAnswers(await startNode({ PUSH_PUBLISH_KEY: KEY }), [
    ['pushRawData', '/push/raw-data', { body: DATUM, headers: { Authorization: `Bearer ${KEY}` } }],
    ['pushRawData', '/push/raw-data', { body: DATUM }],
    ['pushAlarms', '/push/alarms', { body: ALARM }],
    ['listClients', '/push/clients'],
    ['metrics', '/metrics'],
  ]);
}

async function withTokens(): Promise<string[]> {
  const node = await startNode({ PUSH_AUTH: 'jwt', PUSH_JWT_SECRET: TEST_SECRET });
  const tokens = [
    await signToken({ sub: 'bob' }),
    await signToken({ sub: 'ann', keys: ['pump/*'] }),
    await signToken({ sub: 'ann', exp: secondsFromNow(-60) }),
  ];
  const headersOf = [{}, ...tokens.map((token) => ({ Authorization: `Bearer ${token}` }))];
  const askings = headersOf.flatMap((headers): Asking[] => [
    ['askRawDataGateway', RAW_DATA_PATH, { headers }],
    ['askAlarmGateway', '/ws/alarm', { headers: { ...headers, Origin: 'https://evil.example' } }],
    ['askAlarmGateway', '/ws/alarm', { headers }],
    ['issueTicket', '/push/tickets', { body: { path: RAW_DATA_PATH }, headers }],
  ]);
  return faultsOfAnswers(node, askings);
}

async function full(): Promise<string[]> {
  const node = await startNode({ PUSH_MAX_CONNECTIONS_PER_IP: '1' });
  await connect(node, '/ws/alarm');
  return faultsOfAnswers(node, [
    ['askRawDataGateway', RAW_DATA_PATH],
    ['askAlarmGateway', '/ws/alarm'],
    ['issueTicket', '/push/tickets', { body: { path: '/ws/alarm' } }],
  ]);
}

async function withFailingLog(): Promise<string[]> {
  const node = await startNode();
  const append = jest.spyOn(node.app.get<AlarmLog>(ALARM_LOG, { strict: false }), 'append');
  append.mockRejectedValueOnce(new AlarmNotAcceptedError('rejected', 'the disk is full'));
  append.mockRejectedValueOnce(new Error('a bug'));
  return faultsOfAnswers(node, [
    ['pushAlarms', '/push/alarms', { body: ALARM }],
    ['pushAlarms', '/push/alarms', { body: ALARM }],
  ]);
}

async function withoutOtherNodes(): Promise<string[]> {
  const node = await startNode();
  const nodes = jest.spyOn(node.app.get<Cluster>(CLUSTER, { strict: false }), 'nodes');
  nodes.mockRejectedValueOnce(new ClusterUnavailableError(new Error('Redis is away')));
  return faultsOfAnswers(node, [['listClients', '/push/clients?scope=cluster']]);
}

async function shuttingDown(): Promise<string[]> {
  const node = await startNode();
  node.app.get(NodeState, { strict: false }).enter('draining');
  return faultsOfAnswers(node, [
    ['pushRawData', '/push/raw-data', { body: DATUM }],
    ['pushAlarms', '/push/alarms', { body: ALARM }],
    ['listClients', '/push/clients'],
    ['issueTicket', '/push/tickets', { body: { path: '/ws/alarm' } }],
    ['askRawDataGateway', RAW_DATA_PATH],
    ['askAlarmGateway', '/ws/alarm'],
    ['isReady', '/health/ready'],
  ]);
}

/** `operationId status` of what the document says and no node has answered. */
function notGiven(): string[] {
  const all = new Set(given.map(({ operationId, status }) => `${operationId} ${status}`));
  return operations
    .flatMap(({ operationId, answers }) => Object.keys(answers).map((status) => `${operationId} ${status}`))
    .filter((documented) => !documented.endsWith(' default') && !all.has(documented));
}

/** Bodies of refusals that the document shows. */
function refusalsShown(): unknown[] {
  return operations
    .flatMap(({ answers }) => Object.values(answers))
    .map((answer) => objectIn(objectIn(objectIn(answer)['content'])['application/json'])['examples'])
    .flatMap((examples) => Object.values(objectIn(examples)).map((example) => objectIn(example)['value']))
    .filter((body) => objectIn(body)['statusCode'] !== undefined);
}

test('every documented answer is given by a running node, as it is documented', async () => {
  const nodes = [ofThisMachine, withPublishKey, withTokens, full, withFailingLog, withoutOtherNodes, shuttingDown];
  for (const faultsOfNode of nodes) expect(await faultsOfNode()).toEqual([]);
  expect(notGiven()).toEqual([]);
  const bodies = new Set(given.map(({ body }) => JSON.stringify(body)));
  expect(refusalsShown().length).toBeGreaterThan(30);
  expect(refusalsShown().filter((body) => !bodies.has(JSON.stringify(body)))).toEqual([]);
});
