/**
 * Where a client's bytes go: the socket, as the fan-out sees it. Guarantees: `write` keeps the order and takes whole
 * frames; after `close` nothing is written any more; none of these throws because of the peer.
 */
export interface Sink {
  /** Writes whole frames. Nothing happens where the connection is closing or closed. */
  write(frames: Buffer): void;
  /** As {@link write} of each, in one go. */
  writeAll(frames: readonly Buffer[]): void;
  /** Bytes taken by `write` that the kernel has not taken yet. */
  readonly bufferedBytes: number;
  /** Starts the closing handshake behind all that was written (RFC 6455 section 7.1.2). */
  close(code: number, reason: string): void;
  /** Ends the connection at once. */
  terminate(): void;
}
