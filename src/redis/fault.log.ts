/**
 * Told of each attempt how it went, where Redis answers; a link that is lost is told by the connection itself. `what` is a
 * verb and its object: `tell other nodes`.
 */
export interface FaultLog {
  failed(what: string, cause: unknown): void;
  succeeded(what: string): void;
}
