/** usage: web.ts NAME: an HTTP server on port 8080 that answers with the name of its pod, and finishes what it began. */
import { createServer } from 'node:http';
import process from 'node:process';

const server = createServer((request, response) => {
  request.resume();
  response.writeHead(200, { 'Content-Type': 'text/plain', Connection: 'close' });
  response.end(`${process.argv[2]}\n`);
});
server.listen(8080, '::', () => process.stdout.write('ready\n'));
process.once('SIGTERM', () => server.close());
