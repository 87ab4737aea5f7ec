'use strict';
// Measures the time until one change reaches all subscribers: node fan_out.js URL SUBSCRIBERS METHOD RESET
// RESET is the method that removes the documents of the earlier rounds.
const WebSocket = require('ws');

const [url, count, method, reset] = [process.argv[2], Number(process.argv[3]), process.argv[4], process.argv[5]];
const [WARM_UP, CHANGES] = [5, 15];
const sockets = [];
const times = [];
let ready = 0;
let reached = 0;
let closed = 0;
let started;

const call = (name, ...params) => sockets[0].send(JSON.stringify({ msg: 'method', id: '1', method: name, params }));

function change() {
  reached = 0;
  started = process.hrtime.bigint();
  call(method, 'a title');
}

function receive(text) {
  if (text.includes('"msg":"ready"') && ++ready === count) change();
  if (ready === count && text.includes('"msg":"added"') && ++reached === count) {
    times.push(Number(process.hrtime.bigint() - started) / 1e6);
    if (times.length < WARM_UP + CHANGES) return change();
    console.log(JSON.stringify({ time: times.slice(WARM_UP).sort((a, b) => a - b)[Math.floor(CHANGES / 2)] }));
    leave();
  }
}

// End all sessions, because a server that can resume them would send the changes of the next round to them, too.
function leave() {
  for (const socket of sockets) {
    socket.on('close', () => ++closed === count && process.exit());
    socket.send('{"msg":"disconnect"}');
    socket.close();
  }
}

// Connect one after the other, so that the server's queue of connections is never full.
function open() {
  const socket = new WebSocket(url, { perMessageDeflate: false });
  sockets.push(socket);
  socket.on('open', () => {
    socket.send('{"msg":"connect","version":"1","support":["1"]}');
    if (sockets.length === 1) call(reset);
    socket.send('{"msg":"sub","id":"s","name":"tasks","params":[]}');
    if (sockets.length < count) open();
  });
  socket.on('message', (data) => receive(data.toString()));
}

open();
