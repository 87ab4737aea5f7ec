'use strict';
// Many simpleddp clients in one process. Each makes its next call after the answer: node simpleddp_load.js URL CLIENTS CALLS
const SimpleDDP = require('simpleddp').default || require('simpleddp');
const ws = require('ws');

const [endpoint, clients, calls] = [process.argv[2], Number(process.argv[3]), Number(process.argv[4])];

async function main() {
  const servers = Array.from(
    { length: clients }, () => new SimpleDDP({ endpoint, SocketConstructor: ws, autoReconnect: false }),
  );
  await Promise.all(servers.map((server) => server.connect()));
  const before = process.cpuUsage();
  const started = process.hrtime.bigint();
  let sent = 0;
  await Promise.all(servers.map(async (server) => {
    while (sent < calls) {
      sent += 1;
      await server.call('echo', 1);
    }
  }));
  const seconds = Number(process.hrtime.bigint() - started) / 1e9;
  const used = process.cpuUsage(before);
  console.log(JSON.stringify({ seconds, cpu: (used.user + used.system) / 1e6, memory: process.memoryUsage().rss / 1e6 }));
  servers.forEach((server) => server.disconnect());
  process.exit();
}

main();
