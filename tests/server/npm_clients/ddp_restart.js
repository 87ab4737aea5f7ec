'use strict';
// Use npm's `ddp` while the demo server is restarted: node ddp_restart.js PORT. Prints a line of JSON for each result;
// ["restart"] asks for a restart of the server. The package gives up at the first refused connection, and renews neither
// subscriptions nor logins. Its user must do that, as with a Meteor server.
const DDPClient = require('ddp');

const client = new DDPClient({ host: '127.0.0.1', port: Number(process.argv[2]), autoReconnectTimer: 10 });
const print = (...values) => console.log(JSON.stringify(values));
const call = (name, ...params) => new Promise((resolve, reject) => {
  client.call(name, params, (error, result) => (error ? reject(error) : resolve(result)));
});
const subscribe = (name, ...params) => new Promise((resolve, reject) => {
  client.subscribe(name, params, (error) => (error ? reject(error) : resolve()));
});

let lives = 0;
client.connect(async (error) => {
  if (error) {
    setTimeout(() => client.connect(), 20);
    return;
  }
  lives += 1;
  client.collections = {};
  const { id } = await call('login', { user: { username: 'alice' }, password: 'wonderland' });
  await subscribe('tasks');
  const before = Object.keys(client.collections.tasks).sort();
  await call('removeTask', 'c');
  await call('setTask', 'b', { n: lives });
  const { tasks, users } = client.collections;
  print(`life ${lives}`, id, await call('whoami'), before, Object.keys(tasks).sort(), tasks.b.n, users[id].username);
  if (lives === 3) client.close(); else print('restart');
});
