/** What the clients of one gateway were written since the start: added up once a flush of a client, never reset. */
export class WriteTotals {
  messages = 0;
  bytes = 0;
  /** Values that were replaced by newer ones before they were written. */
  conflated = 0;
}
