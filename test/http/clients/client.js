// node's http: 1,000 requests on 20 connections that are kept. usage: client.js HOST:PORT
const http = require('http');
const [host, port] = process.argv[2].split(':');
const agent = new http.Agent({keepAlive: true, maxSockets: 20});
let left = 1000;

function fail(what) {
  console.error(`node: ${what}`);
  process.exit(1);
}

function ask(posts) {
  const options = {host, port, agent, path: posts ? '/echo' : '/', method: posts ? 'POST' : 'GET'};
  const request = http.request(options, (response) => {
    let bytes = 0;
    response.on('data', (data) => { bytes += data.length; });
    response.on('end', () => {
      if (response.statusCode !== 200 || bytes !== (posts ? 5000 : 13)) {
        fail(`status ${response.statusCode}, ${bytes} bytes`);
      }
      left -= 1;
      if (left === 0) process.exit(0);
    });
  });
  request.on('error', (error) => fail(error.message));
  if (posts) request.write(Buffer.alloc(2500));
  request.end(posts ? Buffer.alloc(2500) : undefined);
}

for (let i = 0; i < 1000; i++) ask(i % 3 === 0);
setTimeout(() => fail(`${left} answers did not come`), 20000);
