/** What Express and Node have in common here. */
export interface HeaderResponse {
  setHeader(name: string, value: string): unknown;
}

/**
 * Lets a page load its own server's files and sockets, and nothing from anywhere else. `relaxed` adds sources to
 * directives, as `{ 'img-src': 'data:' }`.
 */
export function setPageHeaders(response: HeaderResponse, relaxed: Readonly<Record<string, string>> = {}): void {
  const allowed = ['script-src', 'style-src', 'img-src', 'connect-src'].map((directive) => {
    return [directive, "'self'", relaxed[directive]].filter((source) => source !== undefined).join(' ');
  });
  const policy = ["default-src 'none'", ...allowed, "base-uri 'none'", "form-action 'none'", "frame-ancestors 'none'"];
  response.setHeader('Content-Security-Policy', policy.join('; '));
  response.setHeader('Cross-Origin-Opener-Policy', 'same-origin');
  response.setHeader('Referrer-Policy', 'no-referrer');
  response.setHeader('X-Content-Type-Options', 'nosniff');
  // The entity tag that the server adds makes asking again cheap.
  response.setHeader('Cache-Control', 'no-cache');
}
