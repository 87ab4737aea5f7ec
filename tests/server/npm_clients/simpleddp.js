'use strict';
// Use the demo server with simpleddp: node simpleddp.js PORT. Prints a line of JSON for each result.
const SimpleDDP = require('simpleddp').default || require('simpleddp');
const ws = require('ws');

const server = new SimpleDDP({
  endpoint: `ws://127.0.0.1:${process.argv[2]}/websocket`, SocketConstructor: ws, reconnectInterval: 10,
});
const print = (...values) => console.log(JSON.stringify(values));
const failure = async (promise) => { try { await promise; } catch (error) { return error.error; } return null; };

(async () => {
  await server.connect();
  print('upper', await server.call('upper', 'Hello'));
  print('bytes', (await server.call('bytes', 3)).length);
  print('date', (await server.call('now')) instanceof Date);
  print('fail', await failure(server.call('fail')));
  print('nope', await failure(server.call('nope')));
  const tasks = server.subscribe('tasks', { done: false });
  await tasks.ready();
  const titles = () => server.collection('tasks').fetch().map((task) => task.title).sort();
  print('tasks', titles());
  await server.call('setTask', 'a', { done: false });
  await server.call('removeTask', 'c');
  print('changed', titles());
  // simpleddp reconnects by itself: it ends its subscription with the old id, waits for the answer, and subscribes again.
  const restarted = new Promise((resolve) => server.on('connected', resolve));
  server.call('kick').catch(() => {});
  await restarted;
  await new Promise((resolve) => {
    const timer = setInterval(() => { if (titles().length === 2) { clearInterval(timer); resolve(); } }, 5);
  });
  print('again', await server.call('upper', 'after'), titles());
  await tasks.stop();
  print('stopped', titles());
  await server.disconnect();
})();
