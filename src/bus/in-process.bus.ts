import type { RawDataBus } from './bus.js';

/** The bus of a single node: there is nobody else to send to or to receive from. */
export class InProcessBus implements RawDataBus {
  readonly fault = undefined;
  readonly counts = undefined;

  send(): undefined {}

  onReceived(): () => void {
    return () => {};
  }

  want(): void {}

  giveUp(): void {}

  whenWanted(): undefined {}

  onFaultChanged(): () => void {
    return () => {};
  }

  async close(): Promise<void> {}
}
