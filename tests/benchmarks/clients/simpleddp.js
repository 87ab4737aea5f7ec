'use strict';
// simpleddp with `ws`, for the benchmarks: node simpleddp.js URL once
const SimpleDDP = require('simpleddp').default || require('simpleddp');
const ws = require('ws');

const server = new SimpleDDP({ endpoint: process.argv[2], SocketConstructor: ws, autoReconnect: false });

server.connect().then(async () => {
  console.log(JSON.stringify(await server.call('upper', 'Hello')));
  server.disconnect();
});
