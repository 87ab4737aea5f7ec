'use strict';
// How long one change takes to reach all subscribers: node fan_out.js URL SUBSCRIBERS METHOD
const WebSocket = require('ws');

const [url, count, method] = [process.argv[2], Number(process.argv[3]), process.argv[4]];
const CHANGES = 5;
const sockets = [];
const times = [];
let ready = 0;
let reached = 0;
let started;

function change() {
  reached = 0;
  started = process.hrtime.bigint();
  sockets[0].send(JSON.stringify({ msg: 'method', id: `${times.length}`, method, params: ['a title'] }));
}

function receive(text) {
  if (text.includes('"msg":"ready"') && ++ready === count) change();
  if (ready === count && text.includes('"msg":"added"') && ++reached === count) {
    times.push(Number(process.hrtime.bigint() - started) / 1e6);
    if (times.length < CHANGES) return change();
    console.log(JSON.stringify({ time: times.sort((a, b) => a - b)[Math.floor(CHANGES / 2)] }));
    process.exit();
  }
}

// One after the other, so that the server's queue of connections is never full.
function open() {
  const socket = new WebSocket(url, { perMessageDeflate: false });
  sockets.push(socket);
  socket.on('open', () => {
    socket.send('{"msg":"connect","version":"1","support":["1"]}');
    socket.send('{"msg":"sub","id":"s","name":"tasks","params":[]}');
    if (sockets.length < count) open();
  });
  socket.on('message', (data) => receive(data.toString()));
}

open();
