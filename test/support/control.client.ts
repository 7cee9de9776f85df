import type { TestGateway } from './gateway.fixture.js';
import type { PushClient } from './push.client.js';

const PATH = '/ws/rowdata/control/1/control';

/** Well-behaved clients beside hostile ones: whatever those do, these get everything, in order, and nothing else. */
export class Control {
  private readonly data: string[] = [];
  private readonly alarms: string[] = [];

  private constructor(
    private readonly gateway: TestGateway,
    private readonly plain: PushClient,
    private readonly pushV1: PushClient,
    private readonly alarm: PushClient,
  ) {}

  /** How many connections these are. */
  static readonly COUNT = 3;

  static async on(gateway: TestGateway): Promise<Control> {
    const plain = await gateway.connect(PATH);
    const pushV1 = await gateway.connectPushV1(PATH);
    const control = new Control(gateway, plain, pushV1, await gateway.connect('/ws/alarm?businessType=control'));
    await control.beat();
    return control;
  }

  /** Pushes a datum and an alarm for them. */
  async beat(): Promise<void> {
    const datum = { businessType: 'control', businessId: '1', n: this.data.length };
    const { matched } = this.gateway.push.pushRawData(datum);
    if (matched !== 2) throw new Error(`a datum for 2 control clients was for ${matched}`);
    this.data.push(JSON.stringify(datum));
    const alarm = { businessType: 'control', businessId: '1', n: this.alarms.length };
    await this.gateway.push.pushAlarm(alarm);
    this.alarms.push(JSON.stringify(alarm));
  }

  /** What they did not get, or got otherwise, since the last time. */
  async losses(): Promise<string[]> {
    await this.beat();
    const { plain, pushV1, alarm } = this;
    const heard = {
      ...withoutSentinels(await this.gateway.heardBy({ plain, pushV1 })),
      ...withoutSentinels(await this.gateway.alarmsHeardBy({ alarm })),
    };
    const losses = [
      ...differences('plain', heard['plain'], this.data),
      ...differences(
        'push.v1',
        heard['pushV1'],
        this.data.map((json) => `{"event":"rawData","data":${json}}`),
      ),
      ...differences('alarm', heard['alarm'], this.alarms),
    ];
    // What was looked at counts no more.
    this.data.length = 0;
    this.alarms.length = 0;
    return losses;
  }
}

function differences(what: string, heard: readonly string[] = [], pushed: readonly string[]): string[] {
  return Array.from({ length: Math.max(heard.length, pushed.length) }, (_, n) => n)
    .filter((n) => heard[n] !== pushed[n])
    .map((n) => `${what}: message ${n} is ${heard[n]} and should be ${pushed[n]}`);
}

/** Without what the test itself has sent to all clients, to hear others out. */
function withoutSentinels(heard: Readonly<Record<string, readonly string[]>>): Record<string, string[]> {
  return Object.fromEntries(
    Object.entries(heard).map(([name, texts]) => [name, texts.filter((text) => !text.startsWith('the end '))]),
  );
}
