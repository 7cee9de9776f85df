export interface AppendOrder {
  readonly alarmLogPath: string;
  readonly retention: number;
  /** Every event of the producers goes there at once. */
  readonly history: string;
  /** Part of the eventIds. */
  readonly round: number;
  /** Of the sizes of the alarms. */
  readonly seed: number;
  /** The fault that has to be caught: says that an alarm is accepted before the log has said so. */
  readonly acknowledgesEarly: boolean;
}

export interface LogContent {
  readonly epoch: string;
  readonly oldest: number;
  readonly newest: number;
  /** Where a damaged log was moved. */
  readonly setAside?: string;
  readonly alarms: readonly { readonly offset: number; readonly content: string }[];
}

/** What a process with an alarm log does when it is asked. */
export interface LogApi {
  /** Appends without end; answers once the first alarms are accepted. */
  append(order: AppendOrder): Promise<void>;
  read(place: { readonly alarmLogPath: string; readonly retention: number }): Promise<LogContent>;
}
