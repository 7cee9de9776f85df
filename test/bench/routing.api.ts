/** The router alone, in a process of its own. */
export interface RoutingApi {
  /** Connects clients to in-memory sinks; the matching ones are spread among the others. Returns the population's id. */
  prepare(plan: { matching: number; connected: number }): Promise<number>;
  /** Pushes to the matching clients, each push in a tick of its own; CPU microseconds a push. */
  measure(plan: { population: number; pushes: number }): Promise<number>;
}
