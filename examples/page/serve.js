// Serves this page and the built client library on http://127.0.0.1:8080, and passes /ws on to the node: for the browser
// both are of one origin then, as behind a proxy, and the node has to allow nothing.
//
//   node examples/page/serve.js [http://127.0.0.1:3000]
import { readFile } from 'node:fs/promises';
import { createServer, request } from 'node:http';
import { connect } from 'node:net';
import { extname } from 'node:path';
import { pipeline } from 'node:stream';

const node = new URL(process.argv[2] ?? 'http://127.0.0.1:3000');
const port = Number(process.env['PORT'] ?? 8080);
/** @type {Record<string, string>} */
const CONTENT_TYPES = { '.html': 'text/html', '.css': 'text/css', '.js': 'text/javascript' };

const server = createServer((incoming, response) => {
  const { pathname } = new URL(incoming.url ?? '/', node);
  if (pathname.startsWith('/ws/')) ask(incoming, response);
  else void serve(pathname === '/' ? '/index.html' : pathname, response);
});

/** @param {string} path Without `..`, which the URL has resolved. @param {import('node:http').ServerResponse} response */
async function serve(path, response) {
  try {
    const file = new URL(path.startsWith('/dist/') ? `../..${path}` : `.${path}`, import.meta.url);
    const content = await readFile(file);
    response.writeHead(200, { 'Content-Type': CONTENT_TYPES[extname(path)] ?? 'application/octet-stream' });
    response.end(content);
  } catch {
    response.writeHead(404).end('there is no such file; the client library is there after npm run build');
  }
}

/** A plain GET, by which the library asks why it was refused. @type {import('node:http').RequestListener} */
function ask({ method, url = '', headers }, response) {
  const outgoing = request(new URL(url, node), { method, headers }, (answer) => {
    response.writeHead(answer.statusCode ?? 502, answer.headers);
    pipeline(answer, response, () => {});
  });
  outgoing.on('error', () => response.writeHead(502).end('the node does not answer'));
  outgoing.end();
}

server.on('upgrade', ({ method, url, rawHeaders }, socket, head) => {
  const upstream = connect(Number(node.port), node.hostname);
  upstream.write(`${method} ${url} HTTP/1.1\r\n`);
  for (const [index, text] of rawHeaders.entries()) upstream.write(index % 2 === 0 ? `${text}: ` : `${text}\r\n`);
  upstream.write('\r\n');
  upstream.write(head);
  pipeline(socket, upstream, socket, () => {});
});

server.listen(port, '127.0.0.1', () => console.log(`the page is on http://127.0.0.1:${port}`));
