/** What `GET /metrics` answers, in the text format of Prometheus. */
export abstract class Exposition {
  /** Rejects where something could not be read. */
  abstract text(): Promise<string>;
}
