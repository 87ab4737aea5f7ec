'use strict';
// Use the demo server with npm's `ddp`: node ddp.js PORT [sockjs|once]. Prints a line of JSON for each result.
const DDPClient = require('ddp');

const client = new DDPClient({ host: '127.0.0.1', port: Number(process.argv[2]), autoReconnectTimer: 10, useSockJs: process.argv[3] === 'sockjs' });
const print = (...values) => console.log(JSON.stringify(values));
const call = (name, ...params) => new Promise((resolve) => {
  let updated = false;
  client.call(name, params, (error, result) => {
    const answer = error ? { error: error.error, reason: error.reason } : result;
    if (updated) resolve(answer); else whenUpdated = () => resolve(answer);
  }, () => { updated = true; whenUpdated(); });
  let whenUpdated = () => {};
});
const subscribe = (name, ...params) => new Promise((resolve) => client.subscribe(name, params, resolve));

let connections = 0;
client.connect(async (error, reconnecting) => {
  if (error) throw error;
  connections += 1;
  if (connections === 2) {
    print('again', await call('upper', 'after'));
    client.close();
    return;
  }
  print('upper', await call('upper', 'Hello'));
  print('bytes', (await call('bytes', 3)).length);
  print('date', (await call('now')) instanceof Date);
  print('fail', await call('fail'));
  print('nope', await call('nope'));
  const events = [];
  const observer = client.observe('tasks');
  observer.added = (id) => events.push('added ' + id);
  observer.changed = (id, old, cleared, fields) => events.push('changed ' + id + ' ' + Object.keys(fields));
  observer.removed = (id) => events.push('removed ' + id);
  await subscribe('tasks');
  print('tasks', Object.keys(client.collections.tasks).sort(), events);
  await call('setTask', 'b', { n: 7 });
  await call('removeTask', 'c');
  print('events', events.slice(3), client.collections.tasks.b.n);
  print('login', (await call('login', { user: { username: 'alice' }, password: 'wonderland' })).id);
  print('user', Object.values(client.collections.users)[0].username);
  if (process.argv[3] === 'once') client.close(); else client.call('kick', []);
});
