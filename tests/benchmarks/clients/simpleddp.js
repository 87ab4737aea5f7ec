'use strict';
// simpleddp with `ws`, for the benchmarks: node simpleddp.js URL once|items|plain|calls [N]
const SimpleDDP = require('simpleddp').default || require('simpleddp');
const ws = require('ws');

const [endpoint, task, n] = [process.argv[2], process.argv[3], Number(process.argv[4])];
const server = new SimpleDDP({ endpoint, SocketConstructor: ws, autoReconnect: false });

// Print the time first. When the input ends, the benchmark has read the memory of this process, and the items can be counted.
function report(started, count) {
  console.log(Number(process.hrtime.bigint() - started) / 1e9);
  process.stdin.on('end', () => {
    console.log(count());
    server.disconnect();
  }).resume();
}

const tasks = {
  async once() {
    console.log(JSON.stringify(await server.call('upper', 'Hello')));
    server.disconnect();
  },
  async items() {
    const started = process.hrtime.bigint();
    await server.subscribe(task, n).ready();
    report(started, () => server.collections.items.length);
  },
  async calls() {
    const started = process.hrtime.bigint();
    const results = await Promise.all(Array.from({ length: n }, (_, i) => server.call('echo', i)));
    report(started, () => results.filter((result, i) => result[0] === i).length);
  },
};
tasks.plain = tasks.items;

server.connect().then(() => tasks[task]());
