// Follows a node: raw data as they come, and alarms one by one, each acknowledged once it is on the disk.
//
//   node examples/node/follow.js [http://127.0.0.1:3000 [alarms.ndjson]]
import { open } from 'node:fs/promises';
import { connectAlarms, connectRawData } from 'nestjs-push-gateway/client';
import { WebSocket } from 'ws'; // from Node 22 on the library finds one without it

const [base = 'http://127.0.0.1:3000', file = 'alarms.ndjson'] = process.argv.slice(2);
// Before there is a connection: between connecting and its loop a program awaits nothing, or the loop may miss the first.
const kept = await open(file, 'a');

const address = { businessType: 'meter', businessId: 'm-7', userName: 'follow' };
const rawData = connectRawData({ base, ...address, snapshot: true, WebSocket });
rawData.on('state', ({ state, reason }) => console.log(`raw data: ${state}, ${reason}`));
rawData.on('conflated', ({ count }) => console.log(`too slow: ${count} values were replaced by newer ones`));
rawData.on('refused', (keys) => console.log('refused', keys));
rawData.on('error', report);
// Beside the key of the address, whatever the demo of the node pushes.
rawData.subscribe([{ businessType: 'host', businessId: '*', snapshot: true }]).catch(report);

const alarms = connectAlarms({ base, durable: 'follow', replay: 'all', acknowledge: 'manual', WebSocket });
alarms.on('state', ({ state, reason }) => console.log(`alarms: ${state}, ${reason}`));
alarms.on('gap', ({ reason, oldest }) => console.log(`alarms before ${oldest} are missing: ${reason}`));
alarms.on('subscriptionLost', ({ requested }) => console.log(`alarms after ${requested} may be missing`));
alarms.on('error', report);

for (const signal of ['SIGINT', 'SIGTERM']) {
  process.once(signal, () => {
    rawData.close(); // which ends the loops
    alarms.close();
  });
}

await Promise.all([showRawData(), keepAlarms()]);
await kept.close();

async function showRawData() {
  for await (const { businessId, series, value } of rawData) console.log(`${businessId} ${series} ${value}`);
}

/** An alarm is kept twice where this process dies in between, and never lost. */
async function keepAlarms() {
  for await (const { id, data } of alarms) {
    await kept.appendFile(`${JSON.stringify({ id, ...data })}\n`);
    await kept.datasync();
    alarms.ack({ id });
    console.log(`alarm ${id} ${data.severity} ${data['message']}`);
  }
}

/** @param {Error} error */
function report({ message }) {
  console.error(message);
}
