import { WebSocket } from 'ws';

// Opens connections and says, as lines of JSON, what they are sent. A test
// stops and continues the process with signals.

export interface SlowConnection {
  readonly url: string;
  /** On `push.v1` each mark is returned. */
  readonly subprotocol?: string;
}

/** What a connection has been sent so far. */
export interface SlowReport {
  readonly index: number;
  readonly isOpen: boolean;
  /** Values of any series. */
  readonly count: number;
  /** Newest `n` of each series. */
  readonly newest: Readonly<Record<string, number>>;
  /** How often a series went backwards or came twice. */
  readonly faults: number;
  /** Sum of the counts of `conflated`, and how often it came. */
  readonly conflated: number;
  readonly conflatedReports: number;
  readonly closed?: { readonly code: number; readonly reason: string };
}

interface Message {
  readonly event?: string;
  readonly data?: Message;
  readonly series?: string;
  readonly n?: number;
  readonly count?: number;
}

const REPORT_INTERVAL_MS = 20;

function follow({ url, subprotocol }: SlowConnection, index: number): () => SlowReport {
  const socket = new WebSocket(url, subprotocol === undefined ? [] : [subprotocol], { perMessageDeflate: false });
  const newest: Record<string, number> = {};
  const tally = { count: 0, faults: 0, conflated: 0, conflatedReports: 0 };
  let closed: SlowReport['closed'];
  const take = (text: string, { event, data, ...datum }: Message): void => {
    if (event === 'mark') socket.send(text);
    if (event === 'conflated') {
      tally.conflated += data?.count ?? 0;
      tally.conflatedReports += 1;
    }
    const { series, n } = event === 'rawData' && data !== undefined ? data : datum;
    if (series === undefined || n === undefined) return;
    tally.count += 1;
    if (n <= (newest[series] ?? 0)) tally.faults += 1;
    newest[series] = n;
  };
  socket.on('message', (payload) => {
    const text = String(payload);
    take(text, JSON.parse(text) as Message);
  });
  socket.on('error', () => {});
  socket.on('close', (code, reason) => (closed = { code, reason: reason.toString() }));
  return () => ({
    index,
    isOpen: socket.readyState === WebSocket.OPEN,
    newest,
    ...tally,
    ...(closed === undefined ? {} : { closed }),
  });
}

const { SLOW_CONNECTIONS: parameters = '[]' } = process.env;
const reports = (JSON.parse(parameters) as SlowConnection[]).map(follow);
const said: string[] = [];

setInterval(() => {
  reports.forEach((report, index) => {
    const line = JSON.stringify(report());
    if (line === said[index]) return;
    said[index] = line;
    process.stdout.write(`${line}\n`);
  });
}, REPORT_INTERVAL_MS);
