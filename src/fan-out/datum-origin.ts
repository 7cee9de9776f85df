/** Which datum of which node this is. */
export interface DatumOrigin {
  /** Names the node's process; another one after each start. */
  readonly nodeId: string;
  /** Rises with each datum of the node, by 1 or more. */
  readonly sequence: number;
}
