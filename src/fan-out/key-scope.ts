/** Which keys a client may see; undefined in its place: every key. */
export interface KeyScope {
  /** Without a businessId: whether the client may see the whole type. */
  covers(businessType: string, businessId: string | undefined): boolean;
}
