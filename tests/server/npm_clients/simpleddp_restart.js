'use strict';
// Use simpleddp and its login plugin while the server is restarted: node simpleddp_restart.js PORT. Prints a line of JSON
// for each result; ["restart"] asks for a restart of the server. simpleddp renews its subscriptions and its login by itself.
const SimpleDDP = require('simpleddp').default || require('simpleddp');
const { simpleDDPLogin } = require('simpleddp-plugin-login');
const ws = require('ws');

const server = new SimpleDDP({
  endpoint: `ws://127.0.0.1:${process.argv[2]}/websocket`, SocketConstructor: ws, reconnectInterval: 10,
}, [simpleDDPLogin]);
const print = (...values) => console.log(JSON.stringify(values));
const once = (...names) => new Promise((resolve) => {
  const listeners = names.map((name) => server.on(name, (message) => {
    listeners.forEach((listener) => listener.stop());
    resolve([name, message.type || message.error]);
  }));
});
const password = { user: { username: 'alice' }, password: 'wonderland' };
const titles = () => server.collection('tasks').fetch().map((task) => task.title).sort();
const until = (condition) => new Promise((resolve) => {
  const timer = setInterval(() => { if (condition()) { clearInterval(timer); resolve(); } }, 5);
});

(async () => {
  await server.connect();
  const { id, type } = await server.login(password);
  const tasks = server.subscribe('tasks', { done: false });
  await tasks.ready();
  print('life 1', id, type, await server.call('whoami'), titles());
  for (const life of [2, 3]) {
    const renewed = once('loginResume', 'loginResumeFailed');
    print('restart');
    const outcome = await renewed;
    if (outcome[0] === 'loginResumeFailed') await server.login(password);
    await until(() => titles().length === 2);
    await server.call('setTask', 'c', { title: `life ${life}` });
    print(`life ${life}`, outcome, await server.call('whoami'), titles());
  }
  await server.logout();
  print('logged out', await server.call('whoami'));
  await server.disconnect();
})();
